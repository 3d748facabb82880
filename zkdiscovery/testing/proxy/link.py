"""One connection through the proxy. All of it runs on the relay's thread.

What was read from one side waits in a queue until the mode lets it through to the other side, so a closed connection
is noticed in every mode.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable

from zkdiscovery.testing.proxy.frames import Framing
from zkdiscovery.testing.proxy.traffic import Direction, Mode, Traffic

_log = logging.getLogger("zkdiscovery.testing")
_CHUNK = 65536  # bytes read at once
_RETRY = 0.05  # seconds between two attempts of a patient relay to reach the server
_BUFFER_LIMIT = 1024 * 1024  # bytes that wait in one direction of a connection; beyond it the sender has to wait
_END = b""  # in a queue of chunks: the sender has closed its side
_CUT = None  # in a queue of chunks: the connection ends here


class Pipe:
    """One direction of a connection: what was read and not yet passed on."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.framing = Framing()
        self.chunks: deque[tuple[float, bytes | None]] = deque()  # when each is due (monotonic seconds), and what it is
        self.waiting = 0  # bytes
        self.busy_until = 0.0  # monotonic seconds; when a limited rate has let the last chunk through
        self.blocked = False  # a chunk is due, but the receiver does not take it yet
        self.read_all = False  # the sender has closed its side
        self.passed_all = False  # our side towards the receiver is closed


class Link:
    """A client's connection and, from the moment that its bytes may pass, the one to the server.

    Attributes:
        pipes: its two directions.
        connect_at: monotonic seconds; when the server is tried again.
        lossy: bytes were swallowed; the stream has a hole and must not go on.
        closed: both sides are closed.
    """

    def __init__(self, traffic: Traffic, client: socket.socket) -> None:
        self._traffic = traffic
        self._client = _prepared(client)
        self._server: socket.socket | None = None
        self._connected = False
        self.connect_at = 0.0
        self._to_server = Pipe("client_to_server")
        self._to_client = Pipe("server_to_client")
        self.pipes = (self._to_server, self._to_client)
        self._interests: dict[socket.socket, tuple[int, Callable[[], None]]] = {}
        self.lossy = False
        self.closed = False

    @property
    def client_open(self) -> bool:
        """True if the client has not closed its side."""
        return not self._to_server.read_all

    def settle(self) -> None:
        """Connect, pass on what may pass, and wait for the events that can change something."""
        if (
            not self.closed
            and self._server is None
            and self._mode(self._to_server) is Mode.FLOW
            and time.monotonic() >= self.connect_at
        ):
            self._connect()
        for pipe in self.pipes:
            if not self.closed and self._mode(pipe) is Mode.FLOW:
                self._pass_on(pipe)
        if all(pipe.passed_all for pipe in self.pipes):
            self.close()
        if not self.closed:
            self._watch(self._client, self._interest(self._to_server, self._to_client), self._on_client)
            if self._server is not None and self._connected:
                self._watch(self._server, self._interest(self._to_client, self._to_server), self._on_server)

    def swallow_waiting(self) -> None:
        """Throw away what waits in the directions that swallow."""
        for pipe in self.pipes:
            if pipe.chunks and self._mode(pipe) is Mode.SWALLOW:
                pipe.chunks.clear()
                pipe.waiting = 0
                self.lossy = True

    def close(self) -> None:
        """Close both sides at once, whatever waits."""
        if self.closed:
            return
        self.closed = True
        for side in (self._client, self._server):
            if side is not None:
                self._watch(side, 0, self._on_client)
                shut(side)

    def _mode(self, pipe: Pipe) -> Mode:
        return self._traffic.modes[pipe.direction]

    def _connect(self) -> None:
        self.connect_at = 0.0
        self._server = _prepared(socket.socket(self._traffic.target_family))
        status = self._server.connect_ex(self._traffic.target)
        if status in (0, errno.EINPROGRESS):
            self._watch(self._server, selectors.EVENT_WRITE, self._on_connected)
        else:
            self._refused()

    def _refused(self) -> None:
        """The server is not there."""
        if not self._traffic.patient or self._server is None or self._to_server.read_all:
            self.close()
            return
        self._watch(self._server, 0, self._on_connected)
        self._interests.pop(self._server)
        shut(self._server)
        self._server = None
        self.connect_at = time.monotonic() + _RETRY

    def _on_connected(self) -> None:
        if self.closed or self._server is None:
            return
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._refused()
        else:
            self._connected = True

    def _on_client(self) -> None:
        self._read(self._client, self._to_server)

    def _on_server(self) -> None:
        if self._server is not None:
            self._read(self._server, self._to_client)

    def _read(self, source: socket.socket, pipe: Pipe) -> None:
        if self.closed or pipe.read_all:
            return
        try:
            chunk = source.recv(_CHUNK)
        except BlockingIOError:
            return  # the event was that the socket takes bytes
        except OSError:
            chunk = _END  # reset
        pipe.read_all = chunk == _END
        if self._mode(pipe) is Mode.SWALLOW:
            self.lossy = True
            return
        transform = self._traffic.transforms.get(pipe.direction)
        if transform is not None and chunk != _END:
            try:
                chunk = transform(chunk)
            except Exception:  # noqa: BLE001 - a test's own code
                _log.exception("the fault proxy's transform failed; the connection is closed")
                self.close()
                return
            if not chunk:
                return
        self._queue(pipe, chunk)

    def _queue(self, pipe: Pipe, chunk: bytes) -> None:
        due = time.monotonic() + self._traffic.delay
        if self._traffic.rate is not None:
            pipe.busy_until = due = max(due, pipe.busy_until) + len(chunk) / self._traffic.rate
        if chunk == _END:
            pipe.chunks.append((due, chunk))
            return
        passed, cut = self._after_faults(pipe, chunk)
        if passed:
            pipe.chunks.append((due, passed))
            pipe.waiting += len(passed)
        if cut:
            pipe.chunks.append((due, _CUT))
            pipe.read_all = True

    def _after_faults(self, pipe: Pipe, chunk: bytes) -> tuple[bytes, bool]:
        """Return what is left of a chunk, and whether the connection ends after it."""
        faults = self._traffic.faults
        passed = b""
        for piece, frame in pipe.framing.split(chunk, hold=bool(faults)):
            if frame is not None:
                for fault in list(faults):
                    if pipe is self._to_server:
                        fault.request(self, frame)
                    if fault.direction == pipe.direction and (size := fault.take(self, frame, len(piece))) is not None:
                        faults.remove(fault)
                        fault.note()
                        return passed + piece[:size], True
            passed += piece
        return passed, False

    def _pass_on(self, pipe: Pipe) -> None:
        sink = self._client if pipe is self._to_client else self._server
        pipe.blocked = False
        while pipe.chunks and pipe.chunks[0][0] <= time.monotonic():
            if sink is None or (sink is self._server and not self._connected):
                pipe.blocked = True
                return
            due, chunk = pipe.chunks.popleft()
            if chunk is _CUT:
                self.close()
                return
            if chunk == _END:
                pipe.passed_all = True
                with contextlib.suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
                return
            try:
                sent = sink.send(chunk)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return
            self._traffic.passed[pipe.direction] += sent
            pipe.waiting -= sent
            if sent < len(chunk):
                pipe.chunks.appendleft((due, chunk[sent:]))
                pipe.blocked = True
                return

    def _interest(self, incoming: Pipe, outgoing: Pipe) -> int:
        reads = not incoming.read_all and incoming.waiting < _BUFFER_LIMIT
        writes = outgoing.blocked and self._mode(outgoing) is Mode.FLOW
        return (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)

    def _watch(self, side: socket.socket, interest: int, handler: Callable[[], None]) -> None:
        selector = self._traffic.selector
        before, self._interests[side] = self._interests.get(side), (interest, handler)
        if before == (interest, handler):
            return
        if before is not None and before[0]:
            selector.unregister(side)
        if interest:
            selector.register(side, interest, handler)


def _prepared(connection: socket.socket) -> socket.socket:
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def shut(closing: socket.socket) -> None:
    """Close a socket for good, even where a forked child has a copy of it."""
    with contextlib.suppress(OSError):
        closing.shutdown(socket.SHUT_RDWR)
    closing.close()
