"""Something answers that is no ZooKeeper, or speaks its protocol badly: said plainly, and tried again."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, core_of, wait_epoch
from zkdiscovery import Client, State, ZkDiscoveryError
from zkdiscovery.testing import FaultProxy, ZookeeperServer

pytestmark = pytest.mark.links


class Stranger:
    """A TCP server that gives one answer to whatever it is sent."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.answered = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(LIMIT)
                try:
                    if connection.recv(4096):
                        connection.sendall(self._answer)
                        self.answered.release()
                        connection.recv(4096)  # until the other side has had enough
                except OSError:
                    continue

    def close(self) -> None:
        """No more answers."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LIMIT)


@pytest.fixture
def stranger(request: pytest.FixtureRequest) -> Iterator[Stranger]:
    server = Stranger(request.param)
    yield server
    server.close()


NONSENSE = {
    "a web server": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "nothing in a frame": struct.pack(">i", 0),
    "a negative length": struct.pack(">i", -1),
    "two gigabytes, it claims": struct.pack(">i", 2**31 - 1) + b"x" * 1000,
    "a short handshake": struct.pack(">i", 3) + b"abc",
}


@pytest.mark.parametrize("stranger", NONSENSE.values(), ids=NONSENSE.keys(), indirect=True)
def test_an_answer_that_makes_no_sense_ends_one_attempt(stranger: Stranger, caplog: pytest.LogCaptureFixture) -> None:
    """kazoo #727 and its like: the connection thread lives on, tries again, and no traceback is logged."""
    with caplog.at_level(logging.DEBUG, "zkdiscovery"), Client(stranger.address, session_timeout=2.0) as client:
        for _ in range(3):
            assert stranger.answered.acquire(timeout=LIMIT)
        assert client.state is State.NEW
        assert core_of(client).session.status_message.count(stranger.address) == 2, (
            "among the hosts, and as the last attempt"
        )
    assert "connection thread died" not in caplog.text


def test_an_answer_that_makes_no_sense_ends_one_connection(
    make_client: MakeClient, zkdiscovery_server: ZookeeperServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer with an error code that nobody knows, one that is too short, and one with a strange length."""
    with FaultProxy(zkdiscovery_server.hosts) as proxy:
        client = make_client(proxy.address)
        client.wait_connected(LIMIT)
        session = core_of(client).session
        link = session.link
        answers = [
            struct.pack(">iiqi", 16, 1, 0, -777),
            struct.pack(">i", 4) + b"abcd",
            struct.pack(">i", -5),
            struct.pack(">iiqi", 20, -1, -1, 0) + b"evnt",
        ]
        for number, answer in enumerate(answers, start=session.generation + 1):
            proxy.alter("server_to_client", lambda _, answer=answer: answer)
            with pytest.raises(ZkDiscoveryError):
                client.instances("payments", timeout=1.0)
            proxy.heal()
            proxy.drop()
            client.wait_connected(LIMIT)
            wait_epoch(client, 1)
            assert session.generation >= number
            assert client.instances("payments", timeout=LIMIT) == []
        assert session.link is link, "one and the same link goes on"
    assert "connection thread died" not in caplog.text
