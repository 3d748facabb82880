"""The bare protocol against what is no ZooKeeper: limits hold and errors are clear."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from zkdiscovery.errors import NotConnected
from zkdiscovery.testing import expire_session
from zkdiscovery.testing.ports import free_port
from zkdiscovery.testing.wire import RawSession, four_letter_word, split_host_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts a server that sends a greeting to each connection and keeps it open; returns its address.

    Of several greetings the first connection gets the first, and so on; all further ones get the last.
    """
    open_sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(*greetings: bytes) -> str:
        remaining = list(greetings)
        listener = socket.create_server(("127.0.0.1", 0))
        open_sockets.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                open_sockets.append(connection)
                connection.sendall(remaining.pop(0) if len(remaining) > 1 else remaining[0])

        threads.append(threading.Thread(target=accept))
        threads[-1].start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for each in open_sockets.copy():
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(5.0)
    for each in open_sockets:
        each.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("zk1:2182", ("zk1", 2182)),
        (" zk1 ", ("zk1", 2181)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::2]", ("fe80::2", 2181)),
    ],
)
def test_split_host_port(text: str, address: tuple[str, int]) -> None:
    assert split_host_port(text) == address


@pytest.mark.parametrize(
    "text", ["", ":2181", "zk1:", "zk1:0", "zk1:65536", "zk1:x", "zk1:2181/chroot", "zk1:-1", "[]:1"]
)
def test_split_host_port_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        split_host_port(text)


def test_a_four_letter_word_has_one_limit_for_all(serve: Callable[..., str]) -> None:
    address = serve(b"half an answer")
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        four_letter_word(address, "srvr", timeout=0.2)
    assert 0.2 <= time.monotonic() - start < 2.0


def test_a_session_with_a_silent_server_gives_up(serve: Callable[..., str]) -> None:
    with pytest.raises(TimeoutError):
        RawSession(serve(b""), timeout=0.1)


def test_what_is_no_zookeeper_is_an_error(serve: Callable[..., str]) -> None:
    with pytest.raises(ConnectionError, match="does not speak ZooKeeper's protocol"):
        RawSession(serve(b"SSH-2.0-OpenSSH_9.2\r\n"))


def test_an_answer_to_something_else_is_passed_over(serve: Callable[..., str]) -> None:
    welcome = struct.pack(">iiqi", 0, 10_000, 7, 16) + bytes(17)
    ping = struct.pack(">iqi", -2, 0, 0)
    missing = struct.pack(">iqi", 1, 0, -101)
    address = serve(b"".join(struct.pack(">i", len(body)) + body for body in (welcome, ping, missing)))
    session = RawSession(address)
    assert session.session_id == 7
    assert session.session_timeout == 10.0
    assert not session.exists("/a")
    session.disconnect()


def test_expiry_without_a_server_says_so() -> None:
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    with pytest.raises(NotConnected, match=f"0x2a could not be ended on {hosts} within 0.3 s") as caught:
        expire_session(42, bytes(16), hosts, timeout=0.3)
    assert not caught.value.outcome_unknown


def test_expiry_asks_again_where_a_connection_stays_unanswered(serve: Callable[..., str]) -> None:
    """A real server left one unanswered for 5 s, while the client took its session back and learned of its end."""
    unknown = struct.pack(">iiqi", 0, 0, 0, 16) + bytes(17)
    expire_session(42, bytes(16), serve(b"", struct.pack(">i", len(unknown)) + unknown), timeout=5.0)
