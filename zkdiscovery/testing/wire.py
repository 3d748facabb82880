"""ZooKeeper's protocol at its barest: four-letter words, and a session over one socket.

The test tools implement it themselves, because they must see a server as it is and must do what a client library
refuses to do, such as ending another client's session. No watches, no authentication, one request at a time.

Format: frames of `int length` and a body, big-endian; see ZooKeeper's `zookeeper.jute` for the records.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import time
from typing import Self

from zkdiscovery.errors import NodeError, NodeExists, NodeMissing, NodeNotEmpty, SessionExpired, ZkDiscoveryError

CREATE, DELETE, EXISTS, GET_CHILDREN, CLOSE_SESSION = 1, 2, 3, 8, -11

_ERRORS: dict[int, type[ZkDiscoveryError]] = {
    -101: NodeMissing,
    -110: NodeExists,
    -111: NodeNotEmpty,
    -112: SessionExpired,
}
_OPEN_ACL = struct.pack(">ii", 1, 31) + struct.pack(">i5si6s", 5, b"world", 6, b"anyone")
_FRAME_LIMIT = 16 * 1024 * 1024  # bytes; what is longer is no answer of a ZooKeeper


def split_host_port(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[ipv6]:port`; ZooKeeper's port 2181 where none is given.

    Raises:
        ValueError: the port is no number from 1 to 65535, or the host is empty.
    """
    host, colon, port = address.strip().rpartition(":")
    if not colon or port.endswith("]"):
        host, port = address.strip(), "2181"
    host = host.removeprefix("[").removesuffix("]")
    if not host or "/" in address or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)


def four_letter_word(address: str, word: str, timeout: float = 2.0) -> str:
    """Ask the server at `host:port` a four-letter word such as `srvr`, within `timeout` seconds in all.

    Raises:
        OSError: no connection, or no complete answer in time.
    """
    deadline = time.monotonic() + timeout
    answer = bytearray()
    with socket.create_connection(split_host_port(address), timeout) as connection:
        connection.sendall(word.encode("ascii"))
        while True:
            connection.settimeout(_left(deadline, address))
            chunk = connection.recv(65536)
            if not chunk:
                return answer.decode("utf-8", "replace")
            answer += chunk


class RawSession:
    """A ZooKeeper session over one socket, used by one thread.

    Args:
        address: `host:port`.
        session_id: a session to continue; 0 opens a new one.
        password: that session's password, 16 bytes.
        session_timeout: seconds.
        timeout: seconds for the connection and for each request.
        ending: ask for the end of the session along with the handshake, so that nobody continues it in between; call
            `close` then.

    Raises:
        SessionExpired: the server does not know the session, or the password is wrong; its answer is the same.
        OSError: no connection, or no answer in time.
    """

    def __init__(
        self,
        address: str,
        *,
        session_id: int = 0,
        password: bytes = bytes(16),
        session_timeout: float = 10.0,
        timeout: float = 5.0,
        ending: bool = False,
    ) -> None:
        self._address = address
        self._timeout = timeout
        self._xids = itertools.count(1)
        self._socket = socket.create_connection(split_host_port(address), timeout)
        try:
            record = struct.pack(">iqiq", 0, 0, int(session_timeout * 1000), session_id) + _buffer(password) + b"\0"
            self._ending = next(self._xids) if ending else None
            self._send(record, *([struct.pack(">ii", self._ending, CLOSE_SESSION)] if ending else ()))
            answer = self._receive(time.monotonic() + timeout)
            _, milliseconds, self.session_id, length = struct.unpack_from(">iiqi", answer)
            self.password = answer[20 : 20 + length]
            self.session_timeout = milliseconds / 1000
            if self.session_id == 0:
                raise SessionExpired(
                    f"ZooKeeper at {address} does not know the session 0x{session_id:x}, or another password for it",
                    server=address,
                )
        except BaseException:
            self._socket.close()
            raise

    def request(self, operation: int, body: bytes = b"", path: str | None = None) -> bytes:
        """Send one request and return the body of its answer.

        Raises:
            NodeMissing, NodeExists, NodeNotEmpty, SessionExpired, NodeError: what the server answered.
            OSError: no answer in time.
        """
        xid = next(self._xids)
        self._send(struct.pack(">ii", xid, operation) + body)
        return self._answer(xid, operation, path)

    def _answer(self, xid: int, operation: int, path: str | None = None) -> bytes:
        deadline = time.monotonic() + self._timeout
        while True:
            answer = self._receive(deadline)
            answered, _, error = struct.unpack_from(">iqi", answer)
            if answered != xid:
                continue
            if error:
                kind = _ERRORS.get(error, NodeError)
                raise kind(
                    f"ZooKeeper at {self._address} answers error {error} to operation {operation} on {path}",
                    path=path,
                    server=self._address,
                )
            return answer[16:]

    def create(self, path: str, data: bytes = b"", *, ephemeral: bool = False) -> None:
        """Create a node that everybody may change."""
        self.request(CREATE, _string(path) + _buffer(data) + _OPEN_ACL + struct.pack(">i", ephemeral), path)

    def exists(self, path: str) -> bool:
        """Return whether the node is there."""
        try:
            self.request(EXISTS, _string(path) + b"\0", path)
        except NodeMissing:
            return False
        return True

    def children(self, path: str) -> list[str]:
        """The names of the node's children, in no order."""
        answer = self.request(GET_CHILDREN, _string(path) + b"\0", path)
        (count,) = struct.unpack_from(">i", answer)
        names, at = [], 4
        for _ in range(count):
            (length,) = struct.unpack_from(">i", answer, at)
            names.append(answer[at + 4 : at + 4 + length].decode())
            at += 4 + length
        return names

    def delete(self, path: str) -> None:
        """Delete the node, whatever its version."""
        self.request(DELETE, _string(path) + struct.pack(">i", -1), path)

    def remove_tree(self, path: str) -> None:
        """Delete the node and all below it; what somebody else deletes meanwhile is no error."""
        with contextlib.suppress(NodeMissing):
            for name in self.children(path):
                self.remove_tree(f"{path}/{name}")
            self.delete(path)

    def close(self) -> None:
        """End the session on the server: its ephemeral nodes are gone when this returns."""
        try:
            if self._ending is None:
                self.request(CLOSE_SESSION)
            else:
                self._answer(self._ending, CLOSE_SESSION)
        finally:
            self.disconnect()

    def disconnect(self) -> None:
        """Close the socket; the session lives on until its timeout."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError, ZkDiscoveryError):
            self.close()

    def _send(self, *bodies: bytes) -> None:
        self._socket.settimeout(self._timeout)
        self._socket.sendall(b"".join(struct.pack(">i", len(body)) + body for body in bodies))

    def _receive(self, deadline: float) -> bytes:
        (length,) = struct.unpack(">i", self._receive_exactly(4, deadline))
        if not 0 <= length <= _FRAME_LIMIT:
            raise ConnectionError(f"{self._address} does not speak ZooKeeper's protocol: a frame of {length} bytes")
        return self._receive_exactly(length, deadline)

    def _receive_exactly(self, length: int, deadline: float) -> bytes:
        received = bytearray()
        while len(received) < length:
            self._socket.settimeout(_left(deadline, self._address))
            chunk = self._socket.recv(length - len(received))
            if not chunk:
                raise ConnectionResetError(f"ZooKeeper at {self._address} closed the connection")
            received += chunk
        return bytes(received)


def _left(deadline: float, address: str) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError(f"no complete answer from {address} in time")
    return remaining


def _buffer(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _string(text: str) -> bytes:
    return _buffer(text.encode())
