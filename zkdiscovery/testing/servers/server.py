"""`ZookeeperServer`: a running ZooKeeper, whatever it comes from."""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Self, TypeVar

from zkdiscovery.errors import NoServerForTests, ZkDiscoveryError
from zkdiscovery.testing.servers.shared import SharedServers
from zkdiscovery.testing.servers.source import Source
from zkdiscovery.testing.servers.version import fits
from zkdiscovery.testing.wire import RawSession, four_letter_word

_Answer = TypeVar("_Answer")

_log = logging.getLogger("zkdiscovery.testing")

_POLL = 0.03  # seconds between two questions whether it serves
_PORT_TRIES = 5
_PORT_TAKEN = re.compile("already in use|already allocated")


class ServerState(Enum):
    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    CLOSED = "closed"


class ZookeeperServer:
    """A running ZooKeeper that a test may stop, kill, pause and restart. Made by `zookeeper_server`.

    Its methods may be called from any thread; they run one after another and each has a time limit. A forked child
    does not own the server: there `close` does nothing.

    Args:
        source: where the server comes from; not started.
        wanted_version: the version that the server must have; None: any.

    Attributes:
        hosts: `host:port`, or several with commas, as a client takes it; the same over restarts.
        source: a description of the server in words.
        version: ZooKeeper's, such as `3.9.5`, as the server itself says.
        namespace: a path that nobody else uses, such as `/zkdiscovery-test-5f0c…`; not created here.
    """

    def __init__(self, source: Source, wanted_version: str | None) -> None:
        self._source = source
        self._wanted_version = wanted_version
        self._lock = threading.RLock()
        self._state = ServerState.STOPPED
        self._owner = os.getpid()
        self.namespace = f"/zkdiscovery-test-{secrets.token_hex(6)}"
        self.version = "not started"
        self.source = source.describe(self.version)

    @classmethod
    def started(cls, source: Source, wanted_version: str | None) -> Self:
        """Start a server for the first time; return it when it serves.

        A port may be taken by somebody else between its choice and its use: then the server takes another one.

        Raises:
            NoServerForTests: it does not serve within the source's time limit, or has another version.
        """
        server = cls(source, wanted_version)
        try:
            for tries_left in reversed(range(_PORT_TRIES)):
                hosts = server.hosts
                try:
                    server._launch()
                    server._wait_serving()
                except NoServerForTests as error:
                    if tries_left == 0 or not _PORT_TAKEN.search(str(error)):
                        raise
                    source.move()
                    if server.hosts == hosts:  # the port was asked for
                        raise
                else:
                    break
        except BaseException:
            server.close()
            raise
        return server

    @property
    def hosts(self) -> str:
        """The addresses for clients."""
        return self._source.hosts

    def stop(self) -> None:
        """End the server in order; its data and its port are kept for `restart`. Nothing happens if it does not run.

        Raises:
            RuntimeError: the server is a shared one.
        """
        with self._lock:
            if self._state is ServerState.PAUSED:
                self.resume()
            if self._state is ServerState.RUNNING:
                self._source.stop()
                self._state = ServerState.STOPPED

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash does; data and port are kept. Nothing happens if it does not run.

        Raises:
            RuntimeError: the server is a shared one.
        """
        with self._lock:
            if self._state in (ServerState.RUNNING, ServerState.PAUSED):
                self._source.kill()
                self._state = ServerState.STOPPED

    def pause(self) -> None:
        """Freeze the server: connections stay open, new ones are taken by the kernel, nothing answers. Safe to repeat.

        Raises:
            RuntimeError: it does not run, or is a shared one.
        """
        with self._lock:
            self._expect(ServerState.RUNNING, ServerState.PAUSED)
            if self._state is ServerState.RUNNING:
                self._source.pause()
                self._state = ServerState.PAUSED

    def resume(self) -> None:
        """Resume a paused server. Nothing happens if it is not paused.

        Raises:
            RuntimeError: it does not run, or is a shared one.
        """
        with self._lock:
            self._expect(ServerState.RUNNING, ServerState.PAUSED)
            if self._state is ServerState.PAUSED:
                self._source.resume()
                self._state = ServerState.RUNNING

    def restart(self, *, wipe: bool = False) -> None:
        """Stop the server if it runs, and start it on the same port with the same data; returns when it serves.

        Args:
            wipe: delete all data in between, as an ensemble that lost its disks.

        Raises:
            NoServerForTests: it does not serve within 30 s; the message has the end of its log.
            RuntimeError: it was closed, or is a shared one.
        """
        with self._lock:
            self._relaunch(wipe=wipe)
            try:
                self._wait_serving()
            except NoServerForTests:
                self.kill()
                raise

    def wait_ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the server to end by itself; True if it has. Other calls wait meanwhile."""
        with self._lock:
            return self._source.wait_ended(timeout)

    def remove_tree(self, path: str, timeout: float = 10.0) -> None:
        """Delete a znode and all below it, over a session of its own; a missing one is no error.

        Raises:
            ZkDiscoveryError, OSError: it could not be deleted; `timeout` is the limit of each request in seconds.
        """

        def remove(host: str) -> None:
            with RawSession(host, timeout=timeout) as session:
                session.remove_tree(path)

        self._ask(remove)

    def close(self) -> None:
        """End the server for good and remove what it left. Safe to call again."""
        with self._lock:
            if self._state is ServerState.CLOSED or self._owner != os.getpid():
                return
            if isinstance(self._source, SharedServers):
                try:
                    self.remove_tree(self.namespace)
                except (OSError, ZkDiscoveryError) as error:
                    _log.warning("%s stays on %s: %s", self.namespace, self.hosts, error)
            self._state = ServerState.CLOSED
            self._source.close()

    def log_tail(self) -> str:
        """The last lines of the server's log."""
        return self._source.log_tail()

    def identify(self, srvr: str) -> None:
        """Note the version in the answer to `srvr`.

        Raises:
            NoServerForTests: it is not the wanted one.
        """
        self.version = _version(srvr)
        self.source = self._source.describe(self.version)
        if not fits(self._wanted_version, self.version):
            raise NoServerForTests(f"ZooKeeper {self._wanted_version} is wanted, and this is another: {self.source}")

    def __repr__(self) -> str:
        return f"<ZookeeperServer {self.hosts} {self._state.value}, {self.source}>"

    def _expect(self, *states: ServerState) -> None:
        if self._state not in states:
            raise RuntimeError(f"the ZooKeeper server at {self.hosts} is {self._state.value}")

    def _ask(self, question: Callable[[str], _Answer]) -> _Answer:
        """Return the answer of the first host that gives one.

        Raises:
            TimeoutError: none answered, and one of them was silent.
            OSError: none answered.
        """
        problems: dict[str, OSError] = {}
        for host in self.hosts.split(","):
            try:
                return question(host)
            except OSError as error:
                problems[host] = error
        silent = any(isinstance(problem, TimeoutError) for problem in problems.values())
        raise (TimeoutError if silent else OSError)("; ".join(f"{host}: {why}" for host, why in problems.items()))

    def _relaunch(self, *, wipe: bool) -> None:
        self._expect(ServerState.RUNNING, ServerState.PAUSED, ServerState.STOPPED)
        self.stop()
        if wipe:
            self._source.wipe()
        self._launch()

    def _launch(self) -> None:
        self._source.start()
        self._state = ServerState.RUNNING

    def _wait_serving(self) -> None:
        deadline = time.monotonic() + self._source.ready_limit
        problem = "it does not answer"
        patience = 0.25  # seconds; a starting server now and then forgets a connection, a slow one needs more
        while (left := deadline - time.monotonic()) > 0:
            if self._source.wait_ended(_POLL):
                problem = "it ended"
                break
            try:
                answer = self._ask(partial(four_letter_word, word="srvr", timeout=min(patience, left)))
                if "Mode:" in answer and self._source.is_ours():
                    self.identify(answer)
                    return
                problem = f"it answers {answer[:200]!r}"
            except OSError as error:
                problem = str(error)
                if isinstance(error, TimeoutError):
                    patience = min(2 * patience, 5.0)
        raise NoServerForTests(self._source.failure_message(problem), server=self.hosts)


def _version(srvr: str) -> str:
    """`3.8.0` out of the answer to `srvr`."""
    found = re.search(r"Zookeeper version: ([0-9][^-, ]*)", srvr)
    return found[1] if found else "of unknown version"
