"""A connection as http.client uses it, with one time limit for all that is sent and received."""

from __future__ import annotations

import http.client
import io
import socket
from typing import Any

from zkdiscovery.registration.checks import remaining

LARGEST_HEAD = 65_536  # bytes; as http.client's longest line


class LimitedChannel:
    """A connection, as http.client uses it: all of it has one time limit."""

    def __init__(self, connection: socket.socket, deadline: float, reader: LimitedReader) -> None:
        self._connection = connection
        self._deadline = deadline
        self._reader = reader

    def sendall(self, data: bytes) -> None:
        self._connection.settimeout(remaining(self._deadline))
        self._connection.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader, 4096)

    def close(self) -> None:
        """It is closed when the answer has been read."""


class LimitedReader(io.RawIOBase):
    """Reads from a connection until the time or the size is over.

    Attributes:
        left: bytes that may still be read.
        in_head: the end of the head has not come yet.
    """

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        super().__init__()
        self._connection = connection
        self._deadline = deadline
        self.left = LARGEST_HEAD
        self.in_head = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(remaining(self._deadline))
        if self.left == 0 and self.in_head:
            raise http.client.HTTPException(f"more than {LARGEST_HEAD} bytes of headers")
        view = memoryview(buffer)[: self.left]
        count = self._connection.recv_into(view) if view else 0
        self.left -= count
        return count
