"""A server that sends back what it gets, and what a client of it sees."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from zkdiscovery.testing import FaultProxy

LIMIT = 5.0  # seconds


SILENCE = 0.15  # seconds in which a byte would have arrived


class EchoServer:
    """Sends back what it gets; remembers it, and which connections it has."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.received = bytearray()
        self.connections: list[socket.socket] = []
        self.ended = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._echoing: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def wait_received(self, expected: bytes) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: bytes(self.received) == expected, LIMIT), bytes(self.received)

    def wait_ended(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.ended == count, LIMIT), self.ended

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(LIMIT)  # a connection that is being accepted is among the others then
        for connection in self.connections:
            with contextlib.suppress(OSError):  # the other side was faster
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._echoing:
            thread.join(LIMIT)
        for each in (self._listener, *self.connections):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections.append(connection)
                self.changed.notify_all()
            self._echoing.append(threading.Thread(target=self._echo, args=(connection,)))
            self._echoing[-1].start()

    def _echo(self, connection: socket.socket) -> None:
        try:
            while chunk := connection.recv(65536):
                with self.changed:
                    self.received += chunk
                    self.changed.notify_all()
                connection.sendall(chunk)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        with self.changed:
            self.ended += 1
            self.changed.notify_all()


def connect(proxy: FaultProxy) -> socket.socket:
    host, port = proxy.address.split(":")
    return socket.create_connection((host, int(port)), LIMIT)


def receive(connection: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count and (chunk := connection.recv(count - len(received))):
        received += chunk
    return bytes(received)


def assert_silent(connection: socket.socket) -> None:
    connection.settimeout(SILENCE)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(LIMIT)


def assert_closed(connection: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
