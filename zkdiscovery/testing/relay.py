"""The engine of `FaultProxy`: one thread that moves bytes between clients and a server, as the current mode says.

All state belongs to that thread; others hand it steps with `call`. What was read from one side waits in a queue until
the mode lets it through to the other, so a closed connection is noticed in every mode.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import threading
import time
from collections import deque
from concurrent.futures import Future
from enum import Enum
from typing import TYPE_CHECKING, Literal

from zkdiscovery.testing.frames import Framing

if TYPE_CHECKING:
    from collections.abc import Callable

    from zkdiscovery.testing.frames import FrameFault

Direction = Literal["client_to_server", "server_to_client"]
DIRECTIONS: tuple[Direction, Direction] = ("client_to_server", "server_to_client")

_log = logging.getLogger("zkdiscovery.testing")
_STEP_LIMIT = 10.0  # seconds for the thread to do a step
_CHUNK = 65536  # bytes read at once
_RETRY = 0.05  # seconds between two attempts of a patient relay to reach the server
_BUFFER_LIMIT = 1024 * 1024  # bytes that wait in one direction of a connection; beyond it the sender has to wait
_END = b""  # in a queue of chunks: the sender has closed its side
_CUT = None  # in a queue of chunks: the connection ends here


class Mode(Enum):
    """What happens to the bytes of one direction."""

    FLOW = "flow"
    HOLD = "hold"
    SWALLOW = "swallow"


class Relay:
    """Listens on a port of 127.0.0.1 and relays to `target`, a host and a port.

    A patient one tries again while the target refuses a client's connection; else it closes it.

    Attributes, to be changed by steps alone:
        modes: what happens to the bytes, by direction.
        delay: seconds between the reading of a chunk and its passing on.
        rate: bytes a second that a direction of a connection passes on; None: as many as it can.
        transforms: what alters the chunks read, by direction.
        faults: what is to happen to frames, each once.

    Raises:
        OSError: the target's name can't be resolved, or the port is taken.
    """

    def __init__(self, port: int, target: tuple[str, int], *, patient: bool) -> None:
        self.patient = patient
        self.modes = dict.fromkeys(DIRECTIONS, Mode.FLOW)
        self.delay = 0.0
        self.rate: float | None = None
        self.transforms: dict[Direction, Callable[[bytes], bytes]] = {}
        self.faults: list[FrameFault] = []
        self.passed = dict.fromkeys(DIRECTIONS, 0)
        self.accepted = 0
        self.open_clients = 0
        self.changed = threading.Condition()  # guards open_clients

        resolved = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)[0]
        self.target_family, self.target = resolved[0], resolved[4]
        self.port = port
        # Bound but never listening: it keeps the port while nothing else listens there, and clients are refused.
        self._placeholder = _bound_socket(port)
        self._listener: socket.socket | None = None
        self._links: set[_Link] = set()
        self._selector = selectors.DefaultSelector()
        self._steps: deque[tuple[Future[None], Callable[[], None]]] = deque()
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain_wakes)
        self._running = True
        self._thread = threading.Thread(target=self._run, name="zkdiscovery-proxy", daemon=True)
        self._thread.start()

    def call(self, step: Callable[[], None]) -> None:
        """Run a step on the relay's thread and wait until it is done, at most 10 s.

        Raises:
            RuntimeError: the relay was closed, or belongs to the parent of this process.
        """
        if threading.current_thread() is self._thread:
            step()
            return
        if not self._thread.is_alive():
            raise RuntimeError("the fault proxy is closed")
        done: Future[None] = Future()
        self._steps.append((done, step))
        with contextlib.suppress(OSError):  # full: the thread is woken anyway; closed: it has just ended
            self._waker.send(b"\0")
        done.result(_STEP_LIMIT)

    def settle(self) -> None:
        """Wait until the thread has done what it was about to do."""
        if self._thread.is_alive():
            self.call(lambda: None)

    def close(self) -> None:
        """Close all connections and the port, and end the thread. Safe to call again, and in a forked child."""
        if self._thread.is_alive():
            self.call(self._end)
            self._thread.join(_STEP_LIMIT)

    # Steps

    def listen(self) -> None:
        """Accept connections."""
        if self._listener is None:
            self._listener = _bound_socket(self.port)
            self._listener.listen(128)
            self._listener.setblocking(False)
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def stop_listening(self) -> None:
        """Refuse connections."""
        if self._listener is not None:
            self._selector.unregister(self._listener)
            _shut(self._listener)
            self._listener = None

    def close_links(self, *, lossy_only: bool = False) -> None:
        """Close all connections, or those whose streams have a hole."""
        for link in list(self._links):
            if link.lossy or not lossy_only:
                link.close()

    def swallow_waiting(self) -> None:
        """Throw away what waits in the directions that swallow."""
        for link in self._links:
            link.swallow_waiting()

    def release_waiting(self) -> None:
        """Make due at once what waits for its delay to pass."""
        for link in self._links:
            for pipe in link.pipes:
                pipe.chunks = deque((0.0, chunk) for _, chunk in pipe.chunks)
                pipe.busy_until = 0.0

    def _end(self) -> None:
        self.stop_listening()
        self.close_links()
        self._running = False

    # The thread

    def _run(self) -> None:
        with self._selector, self._waker, self._woken, self._placeholder:
            while self._running:
                for key, _ in self._selector.select(self._until_due()):
                    key.data()
                while self._steps:
                    self._do(*self._steps.popleft())
                self._settle()

    def _do(self, done: Future[None], step: Callable[[], None]) -> None:
        try:
            step()
            self._settle()
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            done.set_exception(error)
        else:
            done.set_result(None)

    def _settle(self) -> None:
        """Do what the modes allow, and tell those who wait for the number of connections."""
        for link in list(self._links):
            link.settle()
        with self.changed:
            self.open_clients = sum(link.client_open for link in self._links)
            self.changed.notify_all()

    def _until_due(self) -> float | None:
        """Seconds until the next delayed chunk is due; None if there is none."""
        dues = [
            pipe.chunks[0][0]
            for link in self._links
            for pipe in link.pipes
            if pipe.chunks and not pipe.blocked and self.modes[pipe.direction] is Mode.FLOW
        ]
        if self.modes["client_to_server"] is Mode.FLOW:
            dues += [link.connect_at for link in self._links if link.connect_at]
        due = min(dues, default=None)
        return None if due is None else max(0.0, due - time.monotonic())

    def _drain_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # gone before it was taken
        self.accepted += 1
        self._links.add(_Link(self, client))


class _Pipe:
    """One direction of a connection: what was read and not yet passed on."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.framing = Framing()
        self.chunks: deque[tuple[float, bytes | None]] = deque()  # when each is due (monotonic seconds), and what it is
        self.waiting = 0  # bytes
        self.busy_until = 0.0  # monotonic seconds; when a limited rate has let the last chunk through
        self.blocked = False  # a chunk is due, but the receiver does not take it yet
        self.read_all = False  # the sender has closed its side
        self.passed_all = False  # the receiver has been told so


class _Link:
    """A client's connection and, from the moment that its bytes may pass, the one to the server."""

    def __init__(self, relay: Relay, client: socket.socket) -> None:
        self._relay = relay
        self._client = _prepared(client)
        self._server: socket.socket | None = None
        self._connected = False
        self.connect_at = 0.0  # monotonic seconds; when the server is tried again
        self._to_server = _Pipe("client_to_server")
        self._to_client = _Pipe("server_to_client")
        self.pipes = (self._to_server, self._to_client)
        self._interests: dict[socket.socket, tuple[int, Callable[[], None]]] = {}
        self.lossy = False  # bytes were swallowed: the stream has a hole and must not go on
        self._closed = False

    @property
    def client_open(self) -> bool:
        """Whether the client has not closed its side."""
        return not self._to_server.read_all

    def settle(self) -> None:
        """Connect, pass on what may pass, and wait for the events that can change something."""
        if (
            not self._closed
            and self._server is None
            and self._mode(self._to_server) is Mode.FLOW
            and time.monotonic() >= self.connect_at
        ):
            self._connect()
        for pipe in self.pipes:
            if not self._closed and self._mode(pipe) is Mode.FLOW:
                self._pass_on(pipe)
        if all(pipe.passed_all for pipe in self.pipes):
            self.close()
        if not self._closed:
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
        if self._closed:
            return
        self._closed = True
        self._relay._links.discard(self)
        for side in (self._client, self._server):
            if side is not None:
                self._watch(side, 0, self._on_client)
                _shut(side)

    def _mode(self, pipe: _Pipe) -> Mode:
        return self._relay.modes[pipe.direction]

    def _connect(self) -> None:
        self.connect_at = 0.0
        self._server = _prepared(socket.socket(self._relay.target_family))
        status = self._server.connect_ex(self._relay.target)
        if status in (0, errno.EINPROGRESS):
            self._watch(self._server, selectors.EVENT_WRITE, self._on_connected)
        else:
            self._refused()

    def _refused(self) -> None:
        """The server is not there."""
        if not self._relay.patient or self._server is None or self._to_server.read_all:
            self.close()
            return
        self._watch(self._server, 0, self._on_connected)
        self._interests.pop(self._server)
        _shut(self._server)
        self._server = None
        self.connect_at = time.monotonic() + _RETRY

    def _on_connected(self) -> None:
        if self._closed or self._server is None:
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

    def _read(self, source: socket.socket, pipe: _Pipe) -> None:
        if self._closed or pipe.read_all:
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
        transform = self._relay.transforms.get(pipe.direction)
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

    def _queue(self, pipe: _Pipe, chunk: bytes) -> None:
        due = time.monotonic() + self._relay.delay
        if self._relay.rate is not None:
            pipe.busy_until = due = max(due, pipe.busy_until) + len(chunk) / self._relay.rate
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

    def _after_faults(self, pipe: _Pipe, chunk: bytes) -> tuple[bytes, bool]:
        """What is left of a chunk, and whether the connection ends after it."""
        faults = self._relay.faults
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

    def _pass_on(self, pipe: _Pipe) -> None:
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
            self._relay.passed[pipe.direction] += sent
            pipe.waiting -= sent
            if sent < len(chunk):
                pipe.chunks.appendleft((due, chunk[sent:]))
                pipe.blocked = True
                return

    def _interest(self, incoming: _Pipe, outgoing: _Pipe) -> int:
        reads = not incoming.read_all and incoming.waiting < _BUFFER_LIMIT
        writes = outgoing.blocked and self._mode(outgoing) is Mode.FLOW
        return (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)

    def _watch(self, side: socket.socket, interest: int, handler: Callable[[], None]) -> None:
        selector = self._relay._selector
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


def _bound_socket(port: int) -> socket.socket:
    """A socket on a port of 127.0.0.1 that other sockets made here, and no others, may be bound to as well."""
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound


def _shut(closing: socket.socket) -> None:
    """Close a socket for good, even where a forked child has a copy of it."""
    with contextlib.suppress(OSError):
        closing.shutdown(socket.SHUT_RDWR)
    closing.close()
