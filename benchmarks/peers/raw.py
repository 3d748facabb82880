"""What a client must do at least: a socket, a watch, the nodes that changed read together, nothing of them decoded."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence

from benchmarks.common import LIMIT, SESSION_TIMEOUT
from zkdiscovery.session.requests import MultiRead, SetWatches
from zkdiscovery.testing.wire import RawSession

PING, PING_XID, EVENT_XID, READ_XID = 11, -2, -1, 1_000
DELETED = 2  # an event's type; the others that we hear of say that there is something to read


class RawWatch:
    """A connection with a recursive watch on a path, driven by `run`.

    Args:
        hosts: `host:port`.
        path: what is watched, and has no changes yet.
        read: called with the paths and the undecoded answer when nodes that changed have been read.
        gone: called with the path of a node that was deleted.

    Attributes:
        names: of the children at first.
    """

    def __init__(
        self, hosts: str, path: str, read: Callable[[Sequence[str], bytes], object], gone: Callable[[str], object]
    ) -> None:
        self._session = RawSession(hosts, session_timeout=SESSION_TIMEOUT, timeout=LIMIT)
        self._session.request(SetWatches.type, SetWatches([path]).serialize())
        self.names = self._session.children(path)
        self.socket = self._session._socket
        self._read, self._gone = read, gone
        self._received = bytearray()
        self._changed: dict[str, None] = {}  # a set in order
        self._asked: list[str] = []

    def receive(self) -> None:
        """Take what has come; ask for what has changed, unless an answer is outstanding."""
        if not (chunk := self.socket.recv(1 << 18)):
            raise ConnectionResetError("the server closed the connection")
        self._received += chunk
        while len(self._received) >= 4:
            end = 4 + int.from_bytes(self._received[:4])
            if len(self._received) < end:
                break
            frame = bytes(self._received[4:end])
            del self._received[:end]
            self._take(frame)
        if self._changed and not self._asked:
            self._asked = list(self._changed)
            self._changed.clear()
            self._session._send(struct.pack(">ii", READ_XID, MultiRead.type) + MultiRead(self._asked).serialize())

    def _take(self, frame: bytes) -> None:
        (xid,) = struct.unpack_from(">i", frame)
        if xid == READ_XID:
            asked, self._asked = self._asked, []
            self._read(asked, frame)
        elif xid == EVENT_XID:
            kind, _, length = struct.unpack_from(">iii", frame, 16)
            path = frame[28 : 28 + length].decode()
            if kind == DELETED:
                self._changed.pop(path, None)
                self._gone(path)
            else:
                self._changed[path] = None

    def ping(self) -> None:
        """As each client does that has nothing else to say."""
        self._session._send(struct.pack(">ii", PING_XID, PING))

    def close(self) -> None:
        """End the connection, and with it `run` (any thread)."""
        self.socket.shutdown(socket.SHUT_RDWR)


def run(watches: Sequence[RawWatch]) -> None:
    """Drive them on this thread, until a connection breaks."""
    interval = SESSION_TIMEOUT / 3
    due = time.monotonic() + interval
    with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
        for watch in watches:
            selector.register(watch.socket, selectors.EVENT_READ, watch)
        while True:
            for key, _ in selector.select(max(0.0, due - time.monotonic())):
                key.data.receive()
            if time.monotonic() >= due:
                due += interval
                for watch in watches:
                    watch.ping()


class RawCount:
    """A watch on a thread of its own, that counts.

    Attributes:
        reads: how many answers came.
    """

    def __init__(self, hosts: str, path: str) -> None:
        self.reads = 0
        self._changed = threading.Condition()
        self._watch = RawWatch(hosts, path, self._read, lambda _: self._grown(-1))
        self._size = len(self._watch.names)
        self._thread = threading.Thread(target=run, args=([self._watch],))
        self._thread.start()

    def _read(self, paths: Sequence[str], _answer: bytes) -> None:
        self.reads += 1
        self._grown(len(paths))

    def _grown(self, by: int) -> None:
        with self._changed:
            self._size += by
            self._changed.notify_all()

    def wait(self, size: int) -> None:
        """Until so many nodes are there, and were read unless they were there at first."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._size == size, LIMIT):
                raise TimeoutError(f"{self._size} nodes, not {size}")

    def close(self) -> None:
        """End it."""
        self._watch.close()
        self._thread.join(LIMIT)
