"""`zookeeper_server`: a real ZooKeeper for as long as a `with` block runs.

Sources, in this order: the servers named by `ZKDISCOVERY_TEST_HOSTS`; a container, if a Docker engine answers; a
private process of a ZooKeeper installed here. `ZKDISCOVERY_HOSTS` is never looked at: it may be production.

Guarantees: the server answers when the block is entered; it ends with the block and with this process, however that
ends, and leaves no process, container, file or (on shared servers) znode behind.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
import threading
import time
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing.local import LocalProcess, find_installation
from zkdiscovery.testing.wire import four_letter_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SourceName = Literal["auto", "hosts", "container", "local"]

_log = logging.getLogger("zkdiscovery.testing")
_log.addHandler(logging.NullHandler())

_READY_LIMIT = 30.0  # seconds from the start of a server until it serves
_POLL = 0.03  # seconds between two questions whether it serves
_PORT_TRIES = 5


class Source(Protocol):
    """Where a server comes from: what `ZookeeperServer` can do with it. Calls come one at a time."""

    hosts: str

    def describe(self, version: str) -> str: ...
    def move(self) -> None: ...
    def start(self) -> None: ...
    def wait_ended(self, timeout: float) -> bool: ...
    def is_ours(self) -> bool: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def wipe(self) -> None: ...
    def log_tail(self) -> str: ...
    def close(self) -> None: ...


class _State(Enum):
    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    CLOSED = "closed"


class ZookeeperServer:
    """A running ZooKeeper that a test may stop, kill, pause and restart. Made by `zookeeper_server`.

    Its methods may be called from any thread; they run one after another and each has a time limit. A forked child
    does not own the server: there `close` does nothing.

    Attributes:
        hosts: `host:port`, or several with commas, as a client takes it; the same over restarts.
        source: what the server is, for people.
        namespace: a path that nobody else uses, such as `/zkdiscovery-test-5f0c…`; not created here.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.RLock()
        self._state = _State.STOPPED
        self._owner = os.getpid()
        self.namespace = f"/zkdiscovery-test-{secrets.token_hex(6)}"
        self.source = source.describe("not started")

    @property
    def hosts(self) -> str:
        """Where clients connect to."""
        return self._source.hosts

    def stop(self) -> None:
        """End the server in order; its data and its port are kept for `restart`. Nothing happens if it does not run.

        Raises:
            RuntimeError: the server is a shared one.
        """
        with self._lock:
            if self._state is _State.PAUSED:
                self.resume()
            if self._state is _State.RUNNING:
                self._source.stop()
                self._state = _State.STOPPED

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash does; data and port are kept. Nothing happens if it does not run.

        Raises:
            RuntimeError: the server is a shared one.
        """
        with self._lock:
            if self._state in (_State.RUNNING, _State.PAUSED):
                self._source.kill()
                self._state = _State.STOPPED

    def pause(self) -> None:
        """Freeze the server: connections stay open, new ones are taken by the kernel, nothing answers.

        Raises:
            RuntimeError: it does not run, or is a shared one.
        """
        with self._lock:
            self._expect(_State.RUNNING, _State.PAUSED)
            self._source.pause()
            self._state = _State.PAUSED

    def resume(self) -> None:
        """Let a paused server go on.

        Raises:
            RuntimeError: it does not run, or is a shared one.
        """
        with self._lock:
            self._expect(_State.RUNNING, _State.PAUSED)
            self._source.resume()
            self._state = _State.RUNNING

    def restart(self, *, wipe: bool = False) -> None:
        """Stop the server if it runs, and start it on the same port with the same data; returns when it serves.

        Args:
            wipe: delete all data in between, as an ensemble that lost its disks.

        Raises:
            NoServerForTests: it does not serve within 30 s; the message has the end of its log.
            RuntimeError: it was closed, or is a shared one.
        """
        with self._lock:
            self._expect(_State.RUNNING, _State.PAUSED, _State.STOPPED)
            self.stop()
            if wipe:
                self._source.wipe()
            self._start()

    def close(self) -> None:
        """End the server for good and remove what it left. Safe to call again."""
        with self._lock:
            if self._state is not _State.CLOSED and self._owner == os.getpid():
                self._state = _State.CLOSED
                self._source.close()

    def __repr__(self) -> str:
        return f"<ZookeeperServer {self.hosts} {self._state.value}, {self.source}>"

    def _expect(self, *states: _State) -> None:
        if self._state not in states:
            raise RuntimeError(f"the ZooKeeper server at {self.hosts} is {self._state.value}")

    def _start_anywhere(self) -> None:
        """The first start. A port may be taken by somebody else between its choice and its use: then another one."""
        for tries_left in reversed(range(_PORT_TRIES)):
            try:
                self._start()
            except NoServerForTests as error:
                if tries_left == 0 or "already in use" not in str(error):
                    raise
                self._source.move()
            else:
                return

    def _start(self) -> None:
        self._source.start()
        self._state = _State.RUNNING
        deadline = time.monotonic() + _READY_LIMIT
        problem = "it does not answer"
        while time.monotonic() < deadline:
            if self._source.wait_ended(_POLL):
                problem = "it ended"
                break
            try:
                answer = four_letter_word(self.hosts.split(",")[0], "srvr")
                if "Mode:" in answer and self._source.is_ours():
                    self.source = self._source.describe(_version(answer))
                    return
                problem = f"it answers {answer[:200]!r}"
            except OSError as error:
                problem = str(error)
        else:
            self._source.kill()
        self._state = _State.STOPPED
        raise NoServerForTests(
            f"the ZooKeeper server at {self.hosts} ({self.source}) does not serve: {problem}."
            f" The end of its log:\n{self._source.log_tail()}",
            server=self.hosts,
        )


def _version(srvr: str) -> str:
    """`3.8.0` out of the answer to `srvr`."""
    found = re.search(r"Zookeeper version: ([0-9][^-, ]*)", srvr)
    return found[1] if found else "of unknown version"


def to_stderr(line: str) -> None:
    """Say a line to the people at the terminal."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def zookeeper_server(
    *,
    source: SourceName = "auto",
    tick_time_ms: int = 500,
    config: Mapping[str, str] | None = None,
    notify: Callable[[str], None] = to_stderr,
) -> Iterator[ZookeeperServer]:
    """A real ZooKeeper for the time of the `with` block.

    Args:
        source: "auto" tries the others in this order: "hosts" (the servers named by `ZKDISCOVERY_TEST_HOSTS`),
            "container" (a Docker engine), "local" (a ZooKeeper installed here).
        tick_time_ms: ZooKeeper's tick in milliseconds; it grants session timeouts from 2 to 20 ticks.
        config: further settings of zoo.cfg, by name. Values must not contain spaces. Not for shared servers.
        notify: takes each line that people should read, such as why a source was passed over.

    Raises:
        NoServerForTests: no source has a server; says what was tried and what to install.
    """
    settings = {
        "tickTime": str(tick_time_ms),
        "4lw.commands.whitelist": "*",
        "maxClientCnxns": "0",
        **(config or {}),
    }
    server = ZookeeperServer(LocalProcess(find_installation(), settings))
    try:
        server._start_anywhere()
        _log.info("ZooKeeper for tests at %s: %s", server.hosts, server.source)
        yield server
    finally:
        server.close()
