"""What passes a fault proxy: requests, and the answers to them, by size."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from zkdiscovery.testing import FaultProxy

MULTI_READ, LIST, MULTI, SET_WATCHES = 22, 8, 14, 105


class Request(NamedTuple):
    """One request as it was sent."""

    connection: int
    number: int
    kind: int
    body: bytes


class _Frames:
    """The frames of one direction."""

    def __init__(self) -> None:
        self._rest = b""

    def split(self, chunk: bytes) -> list[bytes]:
        data, found = self._rest + chunk, []
        while len(data) >= 4 and len(data) >= 4 + (length := struct.unpack_from(">i", data)[0]):
            found.append(data[4 : 4 + length])
            data = data[4 + length :]
        self._rest = data
        return found


class Traffic:
    """Notes what one client asks through a proxy, and how large the answers are; one connection at a time.

    Attributes:
        requests: all that were sent, in order.
        answers: bytes of the answer, by (connection, number of the request).
    """

    def __init__(self, proxy: FaultProxy, breaks: Callable[[bytes], bool] = lambda _: False) -> None:
        self.requests: list[Request] = []
        self.answers: dict[tuple[int, int], int] = {}
        self._breaks = breaks
        self._proxy = proxy
        self._connection = -1
        self._frames = {"client_to_server": _Frames(), "server_to_client": _Frames()}
        self._under_way: list[list[tuple[int, int]]] = []
        self._open: list[tuple[int, int]] = []
        proxy.alter("client_to_server", self._sent)
        proxy.alter("server_to_client", self._came)

    def _sent(self, chunk: bytes) -> bytes:
        if self._connection != self._proxy.accepted:  # each begins with a handshake, which has no number
            self._connection = self._proxy.accepted
            self._frames = {direction: _Frames() for direction in self._frames}
            self._open = []
        for frame in self._frames["client_to_server"].split(chunk):
            number, kind = struct.unpack_from(">ii", frame.ljust(8, b"\0"))
            self.requests.append(Request(self._connection, number, kind, frame[8:]))
            if number > 1:  # 0: a handshake, 1: the probe along with it
                self._open.append((self._connection, number))
                self._under_way.append(list(self._open))
        return chunk

    def _came(self, chunk: bytes) -> bytes:
        for frame in self._frames["server_to_client"].split(chunk):
            key = (self._connection, struct.unpack_from(">i", frame)[0])
            if self._breaks(frame):
                raise ConnectionError("the answer that breaks connections")
            if key in self._open:
                self._open.remove(key)
                self.answers[key] = len(frame)
        return chunk

    def answered(self, kind: int) -> list[int]:
        """Bytes of the answers to one kind of requests."""
        asked = {(request.connection, request.number) for request in self.requests if request.kind == kind}
        return [size for key, size in self.answers.items() if key in asked]

    def most_in_flight(self) -> int:
        """Bytes of all answers to requests that were under way at one moment, at most."""
        return max(sum(self.answers.get(key, 0) for key in keys) for keys in self._under_way)

    def broke(self) -> list[Request]:
        """The oldest request without an answer, of each connection that ended with one."""
        oldest: dict[int, Request] = {}
        for request in self.requests:
            if request.number > 1 and (request.connection, request.number) not in self.answers:
                oldest.setdefault(request.connection, request)
        oldest.pop(self._connection, None)
        return list(oldest.values())
