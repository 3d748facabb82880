"""Messages are read ahead, many with one system call, and seen to one by one, wherever the stream of bytes is cut."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, cast

import pytest
from kazoo.exceptions import ConnectionDropped
from kazoo.handlers.threading import KazooTimeoutError

from zkdiscovery.session.care import Care
from zkdiscovery.session.requests import GetData, Stat
from zkdiscovery.session.resolver import Resolver
from zkdiscovery.session.transport import channel as channel_module
from zkdiscovery.session.transport import connection as connection_module
from zkdiscovery.session.transport.connection import Connection
from zkdiscovery.session.transport.link import Link
from zkdiscovery.session.transport.link_state import LinkOwner
from zkdiscovery.session.transport.options import LinkOptions

PATH = "/services/payments/a"
STAT = Stat(7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 7)


class Owner:
    """Hears what comes."""

    def __init__(self) -> None:
        self.session = self
        self.timeout = 10.0
        self.highest_zxid = 0
        self.events: list[tuple[int, str]] = []
        self.answered: list[tuple[Any, float]] = []

    def link_answered(self, request: Any, sent: float) -> None:
        self.answered.append((request, sent))

    def link_event(self, kind: int, path: str) -> None:
        self.events.append((kind, path))


class Wire:
    """Both ends of a connection that serves, without a thread."""

    def __init__(self) -> None:
        self.owner = Owner()
        options = LinkOptions("127.0.0.1:1", 10.0, 1.0, None, [], None)
        self.link = Link(cast("LinkOwner", self.owner), options, Resolver([("127.0.0.1", 1)]), Care())
        self.connection: Connection = self.link._kazoo._connection
        ours, self.server = socket.socketpair()
        ours.setblocking(False)
        self.connection._socket = ours
        self.connection._came = bytearray()
        self.link.written = time.monotonic()

    def ask(self, count: int) -> list[Future[Any]]:
        """So many requests, numbered from 1, in flight."""
        futures = [self.link.channel.submit(GetData(PATH), deadline=time.monotonic() + 60) for _ in range(count)]
        for xid, entry in enumerate(self.link.channel.take(count), start=1):
            entry.xid = xid
        return futures

    def read(self) -> None:
        """What the connection thread does when the socket can be read."""
        self.connection._read_socket(1.0)

    def close(self) -> None:
        """Close both ends."""
        self.server.close()
        self.connection._socket.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    made.link.channel.open(1)
    yield made
    made.close()


def framed(body: bytes) -> bytes:
    return struct.pack("!i", len(body)) + body


def answer(xid: int, data: bytes) -> bytes:
    return framed(struct.pack("!iqii", xid, 7, 0, len(data)) + data + struct.pack("!qqqqiiiqiiq", *STAT))


def event(path: str) -> bytes:
    name = path.encode()
    return framed(struct.pack("!iqiiii", -1, -1, 0, 3, 3, len(name)) + name)


def test_all_that_came_is_seen_to_at_once(wire: Wire) -> None:
    """For the rest in the buffer no poll of the socket would tell of."""
    futures = wire.ask(3)
    wire.server.sendall(answer(1, b"one") + event(PATH) + answer(2, b"") + answer(3, b"three"))
    wire.read()
    assert [future.result(0).data for future in futures] == [b"one", b"", b"three"]
    assert wire.owner.events == [(3, PATH)]


def test_each_answer_tells_when_its_message_was_sent(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases rest on it: before the first byte left, and of that ping which was answered."""
    clock = iter(range(100))
    monkeypatch.setattr(connection_module, "lease_now", lambda: float(next(clock)))
    monkeypatch.setattr(channel_module, "lease_now", lambda: float(next(clock)))

    def write(*_: Any) -> None:
        next(clock)

    monkeypatch.setattr(wire.connection, "_write", write)
    wire.connection._send_ping(1.0)  # at 0, out at 1
    (future,) = wire.ask(1)  # at 2
    wire.connection._send_ping(1.0)  # at 3
    pong = framed(struct.pack("!iqi", -2, 7, 0))
    wire.server.sendall(pong + answer(1, b"one"))
    wire.read()
    assert [sent for _, sent in wire.owner.answered] == [0.0, 2.0]
    assert wire.owner.answered[1][0].path == PATH
    assert future.done()
    wire.connection._send_ping(1.0)
    wire.server.sendall(pong)
    wire.read()
    assert [sent for _, sent in wire.owner.answered] == [0.0, 2.0, 3.0]


def test_kazoo_never_waits_beyond_the_time_of_a_ping(wire: Wire) -> None:
    """It adds up to 0.4 s, which is more than the session timeout leaves where that is short."""
    wire.link.written = time.monotonic() - wire.owner.timeout / 3
    began = time.monotonic()
    assert wire.connection.handler.select([wire.connection._socket], [], [], 60.0) == ([], [], [])
    assert time.monotonic() - began < 8.0


def test_a_refused_request_is_no_sign_of_life(wire: Wire) -> None:
    """A server may refuse one before it has noted that it heard of the session."""
    (future,) = wire.ask(1)
    wire.server.sendall(framed(struct.pack("!iqi", 1, 7, -101)))
    wire.read()
    assert future.exception(0) is not None
    assert not wire.owner.answered


def test_the_stream_may_be_cut_anywhere(wire: Wire) -> None:
    """The beginning of a message waits for its end, and keeps nothing that came before it."""
    first, second = answer(1, b"one"), event("/second")
    for cut in range(len(first) + len(second)):
        (future,) = wire.ask(1)
        wire.server.sendall(event("/first") + (first + second)[:cut])
        wire.read()
        assert wire.owner.events == [(3, "/first")]
        assert future.done() is (cut >= len(first))
        wire.server.sendall((first + second)[cut:])
        wire.read()
        assert future.result(0).data == b"one"
        assert wire.owner.events == [(3, "/first"), (3, "/second")]
        wire.owner.events.clear()


def test_a_large_answer_comes_with_what_follows_it(wire: Wire) -> None:
    large = b"x" * 3_000_000
    (one, other) = wire.ask(2)
    sender = threading.Thread(target=wire.server.sendall, args=[answer(1, large) + answer(2, b"")])
    sender.start()
    while not other.done():
        wire.read()
    sender.join()
    assert (one.result(0).data, other.result(0).data) == (large, b"")


def test_nothing_is_read_beyond_a_handshake() -> None:
    """What follows it belongs to the loop, which polls the socket for it."""
    wire = Wire()
    wire.server.sendall(framed(b"welcome") + event(PATH))
    assert wire.connection._read(4, 1.0) == struct.pack("!i", 7)
    assert wire.connection._read(7, 1.0) == b"welcome"
    wire.link.channel.open(1)
    wire.read()
    assert wire.owner.events == [(3, PATH)]
    assert not wire.connection._came
    wire.close()


@pytest.mark.parametrize(
    ("message", "contact"), [(answer(1, b"one"), True), (event(PATH), False)], ids=["answer", "event"]
)
def test_a_part_of_an_answer_is_contact_and_one_of_an_event_is_not(wire: Wire, message: bytes, contact: bool) -> None:
    """An event proves one direction only."""
    wire.ask(1)
    wire.link.channel.last_answer = 0.0
    wire.server.sendall(message[:20])
    with pytest.raises(KazooTimeoutError):
        wire.connection._read_socket(0.05)
    assert (wire.link.channel.last_answer > 0) is contact


def test_a_silent_end_is_no_message(wire: Wire) -> None:
    (future,) = wire.ask(1)
    wire.server.sendall(answer(1, b"one") + answer(2, b"")[:10])
    wire.server.shutdown(socket.SHUT_WR)
    wire.read()
    assert future.result(0).data == b"one", "what came whole before the end counts"
    with pytest.raises(ConnectionDropped):
        wire.read()


def test_a_server_that_begins_an_answer_to_the_handshake_and_stops_costs_one_limit() -> None:
    """Each part of a message was given what was left when the message began, so the attempt took twice its limit."""
    wire = Wire()  # its channel is not open: the handshake is under way
    try:
        wire.link.servers.begin(session=True)  # a thirtieth of 10 s
        wire.server.sendall(struct.pack("!i", 16))
        began = time.monotonic()
        with pytest.raises(KazooTimeoutError):
            wire.connection._read_header(10.0)
        assert time.monotonic() - began < 8.0
    finally:
        wire.close()
