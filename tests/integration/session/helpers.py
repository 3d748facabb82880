"""What the tests of sessions share."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

from tests.support import LIMIT, Recorder
from zkdiscovery.session import Session, StateChange
from zkdiscovery.testing import ZookeeperServer, expire_session

_getaddrinfo = socket.getaddrinfo


def heard(session: Session) -> Recorder[StateChange]:
    """All transitions of a session from now on."""
    recorder: Recorder[StateChange] = Recorder()
    session.listen(recorder)
    return recorder


def expire(session: Session, server: ZookeeperServer) -> None:
    """End the session at the server, behind the back of its owner."""
    assert session.credentials is not None
    expire_session(session.credentials.session_id, session.credentials.password, server.hosts)


class FullBacklog:
    """A port that neither accepts nor refuses: its queue of connections is full."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._waiting: list[socket.socket] = []

    def __enter__(self) -> Self:
        while True:
            client = socket.socket()
            client.settimeout(0.2)
            self._waiting.append(client)
            try:
                client.connect(self._listener.getsockname())
            except TimeoutError:
                return self

    def __exit__(self, *exc: object) -> None:
        for client in (*self._waiting, self._listener):
            client.close()


class Names:
    """The system's resolver: knows names that end in `.test`, and answers only when it may. Patch it in.

    Attributes:
        found: addresses of each name.
        asked: each question for such a name, with the name of the thread that asked.
        answers: cleared, nobody gets an answer; set it before the test ends.
    """

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self.asked: Recorder[tuple[str, str]] = Recorder()
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self, host: str, port: Any, *args: Any, **options: Any) -> Any:
        if not str(host).endswith(".test"):
            return _getaddrinfo(host, port, *args, **options)
        self.asked((host, threading.current_thread().name))
        assert self.answers.wait(LIMIT)
        if not self.found.get(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        families = [(ip, socket.AF_INET6 if ":" in ip else socket.AF_INET) for ip in self.found[host]]
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, port or 0)) for ip, family in families]

    def wait_idle(self) -> None:
        """Wait until no lookup is under way."""
        for thread in threading.enumerate():
            if thread.name == "zkdiscovery-resolve":
                while thread.ident is None:  # it is being started
                    time.sleep(0.001)
                thread.join(LIMIT)
                assert not thread.is_alive()


class SilentServers:
    """Addresses of one port at which the system takes connections, and nobody reads them: stopped servers."""

    def __init__(self, ips: Sequence[str], port: int) -> None:
        self._ips = ips
        self._port = port
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for ip in self._ips:
            listener = self._stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((ip, self._port))
            listener.listen(64)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
