"""Requests and their answers, as they go over the wire.

A request has a `type` (ZooKeeper's opcode), `serialize()`, and `deserialize(buffer, offset)`, which runs on the
connection thread before the next frame is read. Layouts: ZooKeeper's `zookeeper.jute` and `MultiOperationRecord`.

What `deserialize` reads is untrusted. Whatever the bytes are, it returns a complete answer of the promised type, or
raises ValueError or struct.error with a short message. A Multi may also raise the error that the server reports.
Lengths and counts are compared with the number of bytes that came before anything is allocated for them.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, dataclass_transform

from zkdiscovery.session.translate import error_for_code

_T = TypeVar("_T")

EPHEMERAL = 1
EPHEMERAL_SEQUENTIAL = 3
CONTAINER = 4

_CREATE, _CREATE2, _CREATE_CONTAINER = 1, 15, 19

_STAT = struct.Struct("!qqqqiiiqiiq")
_INT = struct.Struct("!i")
_HEADER = struct.Struct("!iBi")
_RESULT = struct.Struct("!iBii")  # of a bulk read: a header, and the length of the data or the error code
_END = _HEADER.pack(-1, True, -1)


class Stat(NamedTuple):
    """ZooKeeper's stat of a node; zxids are transaction ids, times are milliseconds since the epoch."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeral_owner: int
    data_length: int
    num_children: int
    pzxid: int


class Node(NamedTuple):
    """Data and stat of a node."""

    data: bytes
    stat: Stat


class Request(Protocol):
    """Anything that can be sent."""

    @property
    def type(self) -> int: ...

    def serialize(self) -> bytes: ...

    def deserialize(self, buffer: bytes, offset: int) -> Any: ...


@dataclass_transform()
def _request(cls: type[_T]) -> type[_T]:
    """Make a request with fields, without `__eq__` and `__repr__`, because these would take most of the import time."""
    return dataclass(slots=True, eq=False, repr=False)(cls)


def encode(request: Request) -> bytes:
    """Serialize a request, without its length and number."""
    return _INT.pack(request.type) + request.serialize()


class AccessEntry(NamedTuple):
    """One entry of an ACL. `permissions` is a bit mask: read 1, write 2, create 4, delete 8, admin 16."""

    permissions: int
    scheme: str
    id: str


def _string(text: str) -> bytes:
    data = text.encode()
    return _INT.pack(len(data)) + data


def _data(data: bytes) -> bytes:
    return _INT.pack(len(data)) + data


@functools.lru_cache(maxsize=64)  # a client has two
def _entries(acl: tuple[AccessEntry, ...]) -> bytes:
    return _INT.pack(len(acl)) + b"".join(_INT.pack(e.permissions) + _string(e.scheme) + _string(e.id) for e in acl)


def _read_stat(buffer: bytes, offset: int) -> tuple[Stat, int]:
    return Stat._make(_STAT.unpack_from(buffer, offset)), offset + _STAT.size


def _read_string(buffer: bytes, offset: int) -> tuple[str, int]:
    (length,) = _INT.unpack_from(buffer, offset)
    start = offset + 4
    end = start + length
    if not start <= end <= len(buffer):
        raise ValueError(f"a text of {length} bytes where {len(buffer) - start} are left")
    try:
        return str(buffer[start:end], "utf-8"), end
    except UnicodeDecodeError:  # that error would hold all of the bytes
        raise ValueError("a text is not UTF-8") from None


class _Unanswered:
    """A request whose answer has no body."""

    __slots__ = ()

    def deserialize(self, _buffer: bytes, _offset: int) -> None:
        return None


@_request
class _Read:
    """A question about one node, without a watch."""

    path: str

    def serialize(self) -> bytes:
        return _string(self.path) + b"\0"


@_request
class Create:
    """Create a node; answers its stat. `mode` is EPHEMERAL, CONTAINER or 0 (persistent)."""

    path: str
    data: bytes
    acl: Sequence[AccessEntry]
    mode: int = 0

    @property
    def type(self) -> int:
        return _CREATE_CONTAINER if self.mode == CONTAINER else _CREATE2

    def serialize(self) -> bytes:
        return _string(self.path) + _data(self.data) + _entries(tuple(self.acl)) + _INT.pack(self.mode)

    def deserialize(self, buffer: bytes, offset: int) -> Stat:
        _, offset = _read_string(buffer, offset)
        return _read_stat(buffer, offset)[0]


@_request
class CreateNumbered(Create):
    """Create an ephemeral to whose path the server appends ten digits; answers that path and the stat."""

    mode: int = EPHEMERAL_SEQUENTIAL

    def deserialize(self, buffer: bytes, offset: int) -> tuple[str, Stat]:  # type: ignore[override]
        path, offset = _read_string(buffer, offset)
        return path, _read_stat(buffer, offset)[0]


@_request
class Delete(_Unanswered):
    """Delete a node; `version` -1: any."""

    path: str
    version: int = -1
    type: ClassVar[int] = 2

    def serialize(self) -> bytes:
        return _string(self.path) + _INT.pack(self.version)


@_request
class SetData:
    """Replace a node's data; answers its stat; `version` -1: any."""

    path: str
    data: bytes
    version: int = -1
    type: ClassVar[int] = 5

    def serialize(self) -> bytes:
        return _string(self.path) + _data(self.data) + _INT.pack(self.version)

    def deserialize(self, buffer: bytes, offset: int) -> Stat:
        return _read_stat(buffer, offset)[0]


@_request
class Check(_Unanswered):
    """Inside a transaction: require that the node exists, and has this version unless -1."""

    path: str
    version: int = -1
    type: ClassVar[int] = 13

    def serialize(self) -> bytes:
        return _string(self.path) + _INT.pack(self.version)


@_request
class GetData(_Read):
    """Read data and stat of a node; answers a `Node`."""

    type: ClassVar[int] = 4

    def deserialize(self, buffer: bytes, offset: int) -> Node:
        (length,) = _INT.unpack_from(buffer, offset)
        start = offset + 4
        end = start + max(length, 0)  # -1: no data
        return Node(buffer[start:end], _read_stat(buffer, end)[0])


@_request
class Exists(_Read):
    """Read the stat of a node. Most servers answer even those who may not read the node."""

    type: ClassVar[int] = 3

    def deserialize(self, buffer: bytes, offset: int) -> Stat:
        return _read_stat(buffer, offset)[0]


@_request
class GetChildren(_Read):
    """List the names of a node's children; answers a list of strings."""

    type: ClassVar[int] = 8

    def deserialize(self, buffer: bytes, offset: int) -> list[str]:
        (count,) = _INT.unpack_from(buffer, offset)
        offset += 4
        if count == -1:
            return []
        if not 0 <= count <= (len(buffer) - offset) // 4:
            raise ValueError(f"{count} names in {len(buffer) - offset} bytes")
        children: list[str] = []
        for _ in range(count):
            name, offset = _read_string(buffer, offset)
            children.append(name)
        return children


@_request
class Sync(_Unanswered):
    """Let the server catch up with the leader before it answers what follows."""

    path: str
    type: ClassVar[int] = 9

    def serialize(self) -> bytes:
        return _string(self.path)


@_request
class SetWatches(_Unanswered):
    """Set persistent watches on paths and all below them, many in one request (setWatches2, ZooKeeper 3.6 and later).

    They survive deletion and creation of the nodes, not the connection. They do not fire for earlier changes, so read
    afterwards.
    """

    paths: Sequence[str]
    type: ClassVar[int] = 105

    def serialize(self) -> bytes:
        # No zxid to catch up from, and only recursive watches: no data, exist, child or plain persistent ones.
        return b"\0" * (8 + 4 * 4) + _INT.pack(len(self.paths)) + b"".join(map(_string, self.paths))


@_request
class RemoveWatches(_Unanswered):
    """Remove this connection's watches on the path."""

    path: str
    type: ClassVar[int] = 18

    def serialize(self) -> bytes:
        return _string(self.path) + _INT.pack(3)  # WatcherType Any


Write = Create | Delete | SetData | Check
_CREATED = (_CREATE2, _CREATE)
_WITH_STAT = (_CREATE2, SetData.type)


@_request
class Multi:
    """Execute all of the operations or none; answers one result each: the stat of a Create or a SetData, else None.

    Older servers (ZooKeeper 3.6.4 and 3.8.0 among them) answer a Create without a stat, and the result is None, because
    in a transaction they take create2 for the older create (ZOOKEEPER-4026). All servers give the stat of a container.

    A transaction that fails raises the error of the operation that failed, with its position in `operation_index`. The
    server reports it in the body of the answer; kazoo would return it as a value.
    """

    operations: Sequence[Write]
    type: ClassVar[int] = 14

    def serialize(self) -> bytes:
        parts = [_HEADER.pack(op.type, False, -1) + op.serialize() for op in self.operations]
        return b"".join(parts) + _END

    def deserialize(self, buffer: bytes, offset: int) -> list[Stat | None]:
        results: list[Stat | None] = []
        for index, operation in enumerate(self.operations):
            kind, done, _ = _HEADER.unpack_from(buffer, offset)
            offset += _HEADER.size
            if kind == -1 and not done:
                (code,) = _INT.unpack_from(buffer, offset)
                offset += 4
                # 0 and -2: this operation would have succeeded, and another one failed.
                if code not in {0, -2}:
                    error = error_for_code(code, operation)
                    error.operation_index = index
                    raise error
                continue
            creates = isinstance(operation, Create)  # servers answer containers like other nodes
            if done or kind not in (_CREATED if creates else (operation.type,)):
                raise ValueError(f"result {index} of a transaction is of type {kind}, not of {operation.type}")
            if creates:
                _, offset = _read_string(buffer, offset)
            stat = None
            if kind in _WITH_STAT:
                stat, offset = _read_stat(buffer, offset)
            results.append(stat)
        if len(results) != len(self.operations):
            raise ValueError("a transaction that failed, and no operation to blame")
        return results


@_request
class MultiRead:
    """Read data and stat of many nodes in one request (ZooKeeper 3.6 and later); no atomic snapshot.

    Answers, for each path, a `Node` or the error code as an int (e.g. -101: no node).
    """

    paths: Sequence[str]
    type: ClassVar[int] = 22

    def serialize(self) -> bytes:
        header = _HEADER.pack(4, False, -1)
        return b"".join([header + _string(path) + b"\0" for path in self.paths]) + _END

    def deserialize(self, buffer: bytes, offset: int) -> list[Node | int]:
        # The loop runs once for each node of a cache. So it has no calls of our own, and bypasses the checks of a named
        # tuple's `__new__`.
        results: list[Node | int] = []
        append = results.append
        result, stat, new = _RESULT.unpack_from, _STAT.unpack_from, tuple.__new__
        for _ in self.paths:
            kind, done, _, number = result(buffer, offset)
            offset += _RESULT.size
            if kind == 4 and not done:
                end = offset + max(number, 0)  # -1: no data
                append(new(Node, (buffer[offset:end], new(Stat, stat(buffer, end)))))
                offset = end + _STAT.size
            elif kind == -1 and not done:
                append(number)
            else:
                raise ValueError(f"a result of type {kind} in a bulk read")
        return results


@_request
class Echo(_Unanswered):
    """Send an empty bulk read, which any server answers by itself."""

    type: ClassVar[int] = MultiRead.type

    def serialize(self) -> bytes:
        return _END


@_request
class CloseSession(_Unanswered):
    """End the session; the server deletes its ephemerals."""

    type: ClassVar[int] = -11

    def serialize(self) -> bytes:
        return b""


CLOSE_SESSION = CloseSession()
