"""What the tests of sessions share."""

from __future__ import annotations

import socket
from typing import Self

from tests.support import Recorder
from zkdiscovery.session import Session, StateChange
from zkdiscovery.testing import ZookeeperServer, expire_session


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
