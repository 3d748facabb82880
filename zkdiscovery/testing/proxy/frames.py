"""Faults that know ZooKeeper's frames: a request or an answer that is lost, a frame that is cut in the middle.

All of it runs on the relay's thread. A frame is a length of four bytes and as many bytes as it says. The first one of a
connection is the handshake; any other request begins with its number (xid) and its kind, any answer with that number.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple
from weakref import WeakKeyDictionary

from zkdiscovery.validation import check_timeout

KINDS: dict[str, frozenset[int]] = {
    "create": frozenset({1, 15}),
    "create_container": frozenset({19}),
    "delete": frozenset({2}),
    "exists": frozenset({3}),
    "get_data": frozenset({4}),
    "set_data": frozenset({5}),
    "get_children": frozenset({8, 12}),
    "sync": frozenset({9}),
    "ping": frozenset({11}),
    "check": frozenset({13}),
    "multi": frozenset({14}),
    "multi_read": frozenset({22}),
    "add_watch": frozenset({106}),
    "set_watches": frozenset({101, 105}),
    "remove_watches": frozenset({18}),
    "close": frozenset({-11}),
    "connect": frozenset(),
}
_MULTI = 14
_HEAD = 16  # bytes of a frame that show its kind: length, number, kind, kind of the first operation of a transaction


class Frame(NamedTuple):
    """The beginning of a frame.

    Attributes:
        number: the request's own (xid).
        kinds: of a request, its kind, and for a transaction that of its first operation; of an answer, meaningless.
        handshake: the first of its connection.
    """

    number: int
    kinds: frozenset[int]
    handshake: bool


class Framing:
    """The beginnings of the frames in one direction of a connection."""

    def __init__(self) -> None:
        self._head = b""  # what was passed on of the beginning of a frame, if that is incomplete
        self._held = b""  # what was kept back of it; one of the two is empty
        self._left = 0  # bytes of the present frame that are still to come
        self._first = True
        self._strange = False  # no ZooKeeper speaks here

    def split(self, chunk: bytes, *, hold: bool) -> Iterator[tuple[bytes, Frame | None]]:
        """The chunk in pieces, each with the frame that begins there, if one does and all of its beginning is in it.

        With `hold`, the beginning of a frame is kept back until the kind of the frame is known.
        """
        chunk, self._held = self._held + chunk, b""
        at = 0
        while at < len(chunk) and not self._strange:
            if self._left:
                size = min(self._left, len(chunk) - at)
                self._left -= size
                yield chunk[at : at + size], None
                at += size
                continue
            seen = len(self._head)
            self._head += chunk[at : at + _HEAD - seen]
            if len(self._head) < 4 or len(self._head) < min(_HEAD, 4 + self._length()):
                if hold and not seen:
                    self._held, self._head = chunk[at:], b""
                else:
                    yield chunk[at:], None
                return
            length = self._length()
            if not 0 <= length <= 1 << 30:
                self._strange = True
                break
            frame = None if seen else self._frame()
            size = min(4 + length - seen, len(chunk) - at)
            self._left = 4 + length - seen - size
            self._head, self._first = b"", False
            yield chunk[at : at + size], frame
            at += size
        if at < len(chunk):
            yield chunk[at:], None

    def _length(self) -> int:
        length: int = struct.unpack_from(">i", self._head)[0]
        return length

    def _frame(self) -> Frame:
        number, kind, first = struct.unpack(">iii", self._head[4 : 4 + self._length()].ljust(12, b"\0"))
        kinds = {kind, first} if kind == _MULTI else {kind}
        return Frame(number, frozenset(() if self._first else kinds), self._first)


class FrameFault:
    """A fault that happens once. Any thread may wait for it.

    Attributes:
        direction: of the frame that it takes.
    """

    direction = "client_to_server"

    def __init__(self) -> None:
        self._happened = threading.Event()

    def wait(self, timeout: float | None = 5.0) -> bool:
        """Wait up to `timeout` seconds until it has happened; True if it has."""
        return self._happened.wait(check_timeout(timeout))

    @property
    def happened(self) -> bool:
        """True if it has happened."""
        return self._happened.is_set()

    def request(self, link: object, frame: Frame) -> None:
        """See a request that passes (relay's thread)."""

    def take(self, link: object, frame: Frame, size: int) -> int | None:
        """Return how many of the `size` bytes that are there of a frame are passed on before the connection ends.

        None: nothing happens to this frame (relay's thread).
        """
        raise NotImplementedError

    def note(self) -> None:
        """Record that it has happened (relay's thread)."""
        self._happened.set()


class _OfKinds(FrameFault):
    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__()
        if unknown := set(kinds) - set(KINDS):
            raise ValueError(f"no such kind of request: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
        self._any = not kinds
        self._handshake = "connect" in kinds
        self._kinds = frozenset().union(*(KINDS[kind] for kind in kinds))

    def _matches(self, frame: Frame) -> bool:
        if frame.handshake:
            return self._handshake
        return self._any or bool(self._kinds & frame.kinds)


class LostRequest(_OfKinds):
    """The next request of a kind never arrives, nor does anything after it on its connection."""

    def take(self, link: object, frame: Frame, size: int) -> int | None:  # noqa: ARG002 - as every fault
        return 0 if self._matches(frame) else None


class LostReply(_OfKinds):
    """The next request of a kind is executed, but its answer is lost, and with it all after it on its connection."""

    direction = "server_to_client"

    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__(kinds)
        # By connection, because a connection may break before it is answered.
        self._asked: WeakKeyDictionary[object, Frame] = WeakKeyDictionary()

    def request(self, link: object, frame: Frame) -> None:
        if link not in self._asked and self._matches(frame):
            self._asked[link] = frame

    def take(self, link: object, frame: Frame, size: int) -> int | None:  # noqa: ARG002 - as every fault
        asked = self._asked.get(link)
        if asked is None:
            return None
        return 0 if frame.handshake == asked.handshake and frame.number == asked.number else None


class CutFrame(FrameFault):
    """The next frame ends in the middle."""

    def __init__(self, direction: str) -> None:
        super().__init__()
        self.direction = direction

    def take(self, link: object, frame: Frame, size: int) -> int | None:  # noqa: ARG002 - as every fault
        return max(1, size // 2)
