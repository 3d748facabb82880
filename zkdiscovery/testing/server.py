"""`zookeeper_server`: a real ZooKeeper for as long as a `with` block runs.

Sources, in this order: the servers named by `ZKDISCOVERY_TEST_HOSTS`; a container, if a Docker engine answers; a
private process of a ZooKeeper installed here. `ZKDISCOVERY_HOSTS` is never looked at: it may be production.

Guarantees: the server answers when the block is entered; it ends with the block and with this process, however that
ends, and leaves no process, container or file behind. On shared servers the end of the block removes the namespace; a
process that is killed leaves it there.
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
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

from zkdiscovery.errors import NoServerForTests, ZkDiscoveryError
from zkdiscovery.testing.container import Container, NoContainer, NoEngine
from zkdiscovery.testing.local import LocalProcess, check_port, find_installation
from zkdiscovery.testing.shared import VARIABLE, SharedServers
from zkdiscovery.testing.version import fits, wanted_version
from zkdiscovery.testing.wire import RawSession, four_letter_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from zkdiscovery.testing.source import Source

_Answer = TypeVar("_Answer")
SourceName = Literal["auto", "hosts", "container", "local"]

_log = logging.getLogger("zkdiscovery.testing")
_log.addHandler(logging.NullHandler())

_POLL = 0.03  # seconds between two questions whether it serves
_PORT_TRIES = 5
_PORT_TAKEN = re.compile("already in use|already allocated")


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
        version: ZooKeeper's, such as `3.9.5`, as the server itself says.
        namespace: a path that nobody else uses, such as `/zkdiscovery-test-5f0c…`; not created here.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.RLock()
        self._state = _State.STOPPED
        self._owner = os.getpid()
        self.namespace = f"/zkdiscovery-test-{secrets.token_hex(6)}"
        self.version = "not started"
        self.source = source.describe(self.version)

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
        """Freeze the server: connections stay open, new ones are taken by the kernel, nothing answers. Safe to repeat.

        Raises:
            RuntimeError: it does not run, or is a shared one.
        """
        with self._lock:
            self._expect(_State.RUNNING, _State.PAUSED)
            if self._state is _State.RUNNING:
                self._source.pause()
                self._state = _State.PAUSED

    def resume(self) -> None:
        """Let a paused server go on. Nothing happens if it is not paused.

        Raises:
            RuntimeError: it does not run, or is a shared one.
        """
        with self._lock:
            self._expect(_State.RUNNING, _State.PAUSED)
            if self._state is _State.PAUSED:
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
            if self._state is _State.CLOSED or self._owner != os.getpid():
                return
            if isinstance(self._source, SharedServers):
                try:
                    self.remove_tree(self.namespace)
                except (OSError, ZkDiscoveryError) as error:
                    _log.warning("%s stays on %s: %s", self.namespace, self.hosts, error)
            self._state = _State.CLOSED
            self._source.close()

    def __repr__(self) -> str:
        return f"<ZookeeperServer {self.hosts} {self._state.value}, {self.source}>"

    def _expect(self, *states: _State) -> None:
        if self._state not in states:
            raise RuntimeError(f"the ZooKeeper server at {self.hosts} is {self._state.value}")

    def _ask(self, question: Callable[[str], _Answer]) -> _Answer:
        """The answer of the first host that gives one; else a TimeoutError if one was silent, or an OSError."""
        problems: dict[str, OSError] = {}
        for host in self.hosts.split(","):
            try:
                return question(host)
            except OSError as error:
                problems[host] = error
        silent = any(isinstance(problem, TimeoutError) for problem in problems.values())
        raise (TimeoutError if silent else OSError)("; ".join(f"{host}: {why}" for host, why in problems.items()))

    def _start_anywhere(self, version: str | None) -> None:
        """The first start. A port may be taken by somebody else between its choice and its use: then another one."""
        for tries_left in reversed(range(_PORT_TRIES)):
            hosts = self.hosts
            try:
                self._launch()
                self._wait_serving(version)
            except NoServerForTests as error:
                if tries_left == 0 or not _PORT_TAKEN.search(str(error)):
                    raise
                self._source.move()
                if self.hosts == hosts:  # the port was asked for
                    raise
            else:
                return

    def _relaunch(self, *, wipe: bool) -> None:
        self._expect(_State.RUNNING, _State.PAUSED, _State.STOPPED)
        self.stop()
        if wipe:
            self._source.wipe()
        self._launch()

    def _launch(self) -> None:
        self._source.start()
        self._state = _State.RUNNING

    def _wait_serving(self, version: str | None = None) -> None:
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
                    self._identify(answer, version)
                    return
                problem = f"it answers {answer[:200]!r}"
            except OSError as error:
                problem = str(error)
                if isinstance(error, TimeoutError):
                    patience = min(2 * patience, 5.0)
        raise NoServerForTests(self._source.complaint(problem), server=self.hosts)

    def _identify(self, srvr: str, wanted: str | None) -> None:
        """Note the version in the answer to `srvr`, which must be the wanted one (None: any)."""
        self.version = _version(srvr)
        self.source = self._source.describe(self.version)
        if not fits(wanted, self.version):
            raise NoServerForTests(f"ZooKeeper {wanted} is wanted, and this is another: {self.source}")


def _version(srvr: str) -> str:
    """`3.8.0` out of the answer to `srvr`."""
    found = re.search(r"Zookeeper version: ([0-9][^-, ]*)", srvr)
    return found[1] if found else "of unknown version"


def to_stderr(line: str) -> None:
    """Say a line to the people at the terminal."""
    print(f"zkdiscovery: {line}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def zookeeper_server(
    *,
    source: SourceName = "auto",
    version: str | None = None,
    port: int | None = None,
    tick_time_ms: int = 500,
    config: Mapping[str, str] | None = None,
    notify: Callable[[str], None] = to_stderr,
) -> Iterator[ZookeeperServer]:
    """A real ZooKeeper for the time of the `with` block.

    Args:
        source: "auto" tries the others in this order: "hosts" (the servers named by `ZKDISCOVERY_TEST_HOSTS`),
            "container" (a Docker engine), "local" (a ZooKeeper installed here).
        version: ZooKeeper's, such as "3.9.5", or "3.9" for any of that line; None: that of
            `ZKDISCOVERY_ZOOKEEPER_VERSION`, else whichever the source has.
        port: TCP port to listen on; None: a free one. Shared servers keep theirs.
        tick_time_ms: ZooKeeper's tick in milliseconds; it grants session timeouts from 2 to 20 ticks.
        config: further settings of zoo.cfg, by name; not for shared servers.
        notify: takes each line that people should read, such as why there is no container; the logger
            `zkdiscovery.testing` has the details at DEBUG.

    Raises:
        NoServerForTests: no source has a server of that version, or the port is taken; says what was tried and what
            to install.
        ValueError: `port` is no port, or a value in `config` is empty or has a space.
    """
    settings = server_settings(tick_time_ms, config or {})
    server = _started(source, settings, notify, port, wanted_version(version))
    try:
        yield server
    finally:
        server.close()


def server_settings(tick_time_ms: int, config: Mapping[str, str]) -> dict[str, str]:
    """What a server for tests is configured with, as in zoo.cfg.

    Raises:
        ValueError: a value in `config` is empty or has a space.
    """
    settings = {
        "tickTime": str(tick_time_ms),
        "4lw.commands.whitelist": "*",
        "maxClientCnxns": "0",
        "admin.enableServer": "false",
        "forceSync": "no",  # a crash of the machine may cost the data, a crash of the server does not
        **config,
    }
    for key, value in settings.items():
        if not re.fullmatch(r"\S+", value):
            raise ValueError(f"the setting {key} must be text without spaces: got {value!r}")
    return settings


def _started(
    source: SourceName,
    config: Mapping[str, str],
    notify: Callable[[str], None],
    port: int | None,
    version: str | None,
) -> ZookeeperServer:
    hosts = os.environ.get(VARIABLE, "")
    if port is not None and source != "hosts" and not (source == "auto" and hosts):
        check_port(port)
    makers: dict[str, Callable[[], Source]] = {
        "hosts": lambda: SharedServers(hosts),
        "container": lambda: Container(config, notify, port, version=version),
        "local": lambda: LocalProcess(find_installation(version), config, port),
    }
    if source != "auto":
        return _start_source(makers[source], version)
    if hosts:
        return _start_source(makers["hosts"], version)
    try:
        return _start_source(makers["container"], version)
    except NoServerForTests as error:
        no_container = error
    try:
        server = _start_source(makers["local"], version)
    except NoServerForTests as no_local:
        raise NoServerForTests(
            f"no ZooKeeper for tests. {VARIABLE} is not set. No container: {no_container}. Nothing local: {no_local}"
        ) from None
    if not isinstance(no_container, NoEngine):
        _log.debug("no container: %s", no_container)
        brief = no_container.brief if isinstance(no_container, NoContainer) else "what was started does not serve"
        notify(f"no container: {brief}; using the {server.source}")
    return server


def _start_source(make: Callable[[], Source], version: str | None) -> ZookeeperServer:
    server = ZookeeperServer(make())
    try:
        server._start_anywhere(version)
    except BaseException:
        server.close()
        raise
    _log.info("ZooKeeper for tests at %s: %s", server.hosts, server.source)
    return server
