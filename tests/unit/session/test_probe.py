"""Asking a server how it is: what answers may be anything and may take its time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.recorded import srvr, versions
from tests.support import LIMIT
from zkdiscovery.session import ServerInfo, probe_server

GOOD = """Zookeeper version: 3.8.0--1, built on 2022-02-25 08:49 UTC
Latency min/avg/max: 0/0.0/0
Connections: 1
Outstanding: 0
Zxid: 0x1f
Mode: standalone
"""

Serve = Callable[[Callable[[socket.socket], None]], tuple[str, int]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves one connection on a thread; answers host and port."""
    with ExitStack() as stack:

        def start(talk: Callable[[socket.socket], None]) -> tuple[str, int]:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def run() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4)
                    try:
                        talk(connection)
                    except OSError:
                        return  # the other side has had enough

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join, LIMIT)
            return "127.0.0.1", listener.getsockname()[1]

        yield start


def answered(serve: Serve, text: str) -> ServerInfo:
    return probe_server(*serve(lambda connection: connection.sendall(text.encode())), timeout=LIMIT)


@pytest.mark.parametrize("version", versions())
def test_what_servers_of_each_version_say(serve: Serve, version: str) -> None:
    info = answered(serve, srvr(version))
    assert (info.version, info.mode) == (version, "standalone")
    assert info.zxid is not None
    assert info.zxid > 0
    assert "Connections: 2\nOutstanding: 0\n" in info.text, "doctor reads these"


def test_what_a_server_says(serve: Serve) -> None:
    info = answered(serve, GOOD)
    assert (info.version, info.mode, info.zxid) == ("3.8.0", "standalone", 31)
    assert "Connections: 1\n" in info.text


@pytest.mark.parametrize("number", ["9" * 50_000, "٣", ".", "-1", "1e9"])
def test_numbers_that_are_none(serve: Serve, number: str) -> None:
    """What is read of them can be turned into numbers and text again."""
    info = answered(
        serve, GOOD.replace("3.8.0", number).replace("0x1f", f"0x{number}").replace(": 1\n", f": {number}\n")
    )
    assert len(info.version) < 200
    assert all(int(part) < 10**6 for part in info.version.split(".") if part)
    assert info.zxid is None or info.zxid < 2**64
    assert max(map(len, info.text.splitlines())) <= 200


def test_escapes_of_terminals(serve: Serve) -> None:
    info = answered(serve, "\x1b[2J\x1b]0;title\x07\u202e\r\nMode: \x1b[31mleader")
    assert all(line.isprintable() for line in info.text.split("\n"))
    assert info.mode == ""


def test_a_server_that_says_a_byte_now_and_then(serve: Serve) -> None:
    """The limit is for the whole, not for each byte."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end and not over.wait(0.0005):
            connection.sendall(b"x")

    try:
        with pytest.raises(TimeoutError):
            probe_server(*serve(drip), timeout=0.3)
    finally:
        over.set()
