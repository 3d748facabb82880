"""Frames that are lost or cut, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdiscovery.testing import FaultProxy
from zkdiscovery.testing.proxy.frames import Frame, Framing, LostReply

LIMIT = 10.0  # seconds
CREATE, DELETE, PING, MULTI = 15, 2, 11, 14
HANDSHAKE = struct.pack(">i", 0) + b"h" * 40


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def request(xid: int, kind: int, body: bytes = b"") -> bytes:
    return frame(struct.pack(">ii", xid, kind) + body)


class Server:
    """Answers each frame with one of the same number, the handshake with a handshake; keeps what it got."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.got: list[bytes] = []
        self.ended = threading.Semaphore(0)  # once for each connection
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(ConnectionError), connection, connection.makefile("rb") as stream:
                while len(length := stream.read(4)) == 4:
                    body = stream.read(struct.unpack(">i", length)[0])
                    self.got.append(body)
                    connection.sendall(frame(body[:4] + b"answer"))
            self.ended.release()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LIMIT)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.address) as made:
        yield made


class Client:
    def __init__(self, proxy: FaultProxy) -> None:
        host, _, port = proxy.address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=LIMIT)

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def answers(self) -> list[int]:
        """Numbers of all answers until the connection ends."""
        data = b""
        while chunk := self.socket.recv(4096):
            data += chunk
        self.rest = len(data) % 14
        return [struct.unpack_from(">i", data, at + 4)[0] for at in range(0, len(data) - 13, 14)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()


def test_a_lost_request_does_not_arrive_and_what_came_before_does(server: Server, proxy: FaultProxy) -> None:
    lost = proxy.lose_request("delete")
    with Client(proxy) as client:
        client.send(frame(HANDSHAKE), request(1, CREATE), request(2, DELETE), request(3, CREATE))
        client.answers()
    assert lost.wait(LIMIT)
    assert server.ended.acquire(timeout=LIMIT)
    assert [struct.unpack_from(">i", body)[0] for body in server.got] == [0, 1]


def test_a_request_whose_answer_is_lost_arrives(server: Server, proxy: FaultProxy) -> None:
    lost = proxy.lose_reply("delete")
    with Client(proxy) as client:
        client.send(frame(HANDSHAKE), request(1, CREATE), request(2, DELETE), request(3, CREATE))
        assert client.answers() == [0, 1]
    assert lost.wait(LIMIT)
    assert server.ended.acquire(timeout=LIMIT)
    assert 2 in [struct.unpack_from(">i", body)[0] for body in server.got]


def test_a_connection_that_breaks_before_the_answer_leaves_the_loss_to_the_next() -> None:
    class Link:
        pass

    broken, next_one = Link(), Link()
    lost = LostReply(("delete",))
    lost.request(broken, Frame(1, frozenset({DELETE}), handshake=False))
    lost.request(next_one, Frame(7, frozenset({DELETE}), handshake=False))
    assert lost.take(next_one, Frame(6, frozenset(), handshake=False), 20) is None
    assert lost.take(next_one, Frame(7, frozenset(), handshake=False), 20) == 0


def test_a_transaction_is_known_by_its_first_operation(server: Server, proxy: FaultProxy) -> None:
    lost = proxy.lose_reply("delete")
    with Client(proxy) as client:
        client.send(frame(HANDSHAKE), request(1, MULTI, struct.pack(">i", CREATE)))
        client.send(request(2, MULTI, struct.pack(">i", DELETE)))
        assert client.answers() == [0, 1]
    assert lost.happened


def test_the_handshake_can_be_lost(server: Server, proxy: FaultProxy) -> None:
    lost = proxy.lose_reply("connect")
    with Client(proxy) as client:
        client.send(frame(HANDSHAKE))
        assert client.answers() == []
    assert lost.happened
    assert server.got == [HANDSHAKE]


def test_it_happens_once_and_then_all_is_well(server: Server, proxy: FaultProxy) -> None:
    lost = proxy.lose_request()
    with Client(proxy) as client:
        client.send(frame(HANDSHAKE), request(1, PING))
        client.answers()
    assert lost.happened
    with Client(proxy) as client:
        client.send(frame(HANDSHAKE), request(1, PING))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answers() == [0, 1]


@pytest.mark.parametrize("direction", ["client_to_server", "server_to_client"])
def test_a_frame_is_cut_in_the_middle(server: Server, proxy: FaultProxy, direction: str) -> None:
    cut = proxy.reset_mid_frame(direction)  # type: ignore[arg-type]
    with Client(proxy) as client:
        client.send(frame(HANDSHAKE))
        assert client.answers() == []
        assert client.rest == (7 if direction == "server_to_client" else 0)
    assert cut.happened


def test_a_healed_proxy_forgets_what_has_not_happened(server: Server, proxy: FaultProxy) -> None:
    lost = proxy.lose_reply("delete")
    proxy.heal()
    with Client(proxy) as client:
        client.send(frame(HANDSHAKE), request(1, DELETE))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answers() == [0, 1]
    assert not lost.happened


def test_an_unknown_kind_is_refused(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="no such kind of request: creat; there are create,"):
        proxy.lose_reply("creat")


def test_little_passes_at_a_time(server: Server, proxy: FaultProxy) -> None:
    """What is sent in one piece arrives one piece after the other, and all of it."""
    proxy.slow(2e6)
    with Client(proxy) as client:
        client.send(frame(HANDSHAKE), request(1, PING, b"x" * 300_000))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answers() == [0, 1]
    assert [len(body) for body in server.got] == [len(HANDSHAKE), 300_008]


@given(
    bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    holds=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_frames_are_found_however_the_bytes_come(bodies: list[bytes], cuts: list[int], holds: list[bool]) -> None:
    stream = b"".join(map(frame, bodies))
    places = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    framing = Framing()
    passed, found = b"", []
    for start, end, hold in zip(places, places[1:], holds, strict=False):
        for piece, beginning in framing.split(stream[start:end], hold=hold):
            if beginning is not None:
                found.append((len(passed), beginning.number))
            passed += piece
    begins, at = {}, 0
    for body in bodies:
        begins[at] = struct.unpack(">i", body[:4].ljust(4, b"\0"))[0]
        at += 4 + len(body)
    assert stream.startswith(passed)
    assert len(stream) - len(passed) < 16, "only the beginning of a frame is ever kept back"
    assert all(begins.get(place) == number for place, number in found)
    if all(holds):
        assert passed == stream
        assert [place for place, _ in found] == list(begins)
