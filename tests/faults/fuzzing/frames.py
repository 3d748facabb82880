"""Messages of ZooKeeper's protocol, altered on their way through a fault proxy."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable

Alter = Callable[[bytes], bytes]
EVENT, PING, AUTH = -1, -2, -4  # xids that mean something


def framed(body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">i", len(body) if length is None else length) + body


def with_length(length: int | None = None, more: int = 0) -> Alter:
    return lambda body: framed(body, len(body) + more if length is None else length)


def with_header(at: int, kind: str, value: int) -> Alter:
    def alter(body: bytes) -> bytes:
        changed = bytearray(body)
        struct.pack_into(kind, changed, at, value)
        return framed(bytes(changed))

    return alter


def with_xid(xid: int) -> Alter:
    return with_header(0, ">i", xid)


def with_zxid(zxid: int) -> Alter:
    return with_header(4, ">q", zxid)


def with_error(code: int) -> Alter:
    return with_header(12, ">i", code)


def event(kind: int, path: bytes, length: int | None = None) -> bytes:
    return framed(struct.pack(">iqiiii", EVENT, -1, 0, kind, 3, len(path) if length is None else length) + path)


def before(message: bytes) -> Alter:
    return lambda body: message + framed(body)


class Alteration:
    """Alters the next messages that are wanted, once each; a chunk begins with a message."""

    def __init__(self, alter: Alter, wanted: Callable[[bytes], bool], times: int = 1) -> None:
        self._alter, self._wanted, self._left = alter, wanted, times
        self.done = threading.Event()

    def __call__(self, chunk: bytes) -> bytes:
        out, at = b"", 0
        while at + 4 <= len(chunk):
            (length,) = struct.unpack_from(">i", chunk, at)
            body = chunk[at + 4 : at + 4 + length]
            at += 4 + length
            if self._left and self._wanted(body):
                self._left -= 1
                out += self._alter(body)
                if not self._left:
                    self.done.set()
            else:
                out += framed(body)
        return out
