"""The engine of `FaultProxy`: one thread that moves bytes between clients and a server.

All state belongs to that thread; other threads hand it steps with `call`.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from zkdiscovery.testing.proxy.link import Link, shut
from zkdiscovery.testing.proxy.traffic import Mode, Traffic

_STEP_LIMIT = 10.0  # seconds for the thread to do a step


class Relay:
    """Listens on a port of 127.0.0.1 and relays to `target`, a host and a port.

    Attributes:
        traffic: what happens to the bytes; only steps may change it.
        port: as given.
        accepted: connections taken from clients so far.
        open_clients: connections that clients have open now.
        changed: notified after each change of `open_clients`, which it guards.

    Raises:
        OSError: the target's name can't be resolved, or the port is taken.
    """

    def __init__(self, port: int, target: tuple[str, int], *, patient: bool) -> None:
        self.traffic = Traffic(target, patient=patient)
        self.accepted = 0
        self.open_clients = 0
        self.changed = threading.Condition()
        self.port = port
        # Bound but never listening: it keeps the port while nothing else listens there, and clients are refused.
        self._placeholder = _bound_socket(port)
        self._listener: socket.socket | None = None
        self._links: set[Link] = set()
        self._steps: deque[tuple[Future[None], Callable[[], None]]] = deque()
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self.traffic.selector.register(self._woken, selectors.EVENT_READ, self._drain_wakes)
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
            self.traffic.selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def stop_listening(self) -> None:
        """Refuse connections."""
        if self._listener is not None:
            self.traffic.selector.unregister(self._listener)
            shut(self._listener)
            self._listener = None

    def close_links(self, *, lossy_only: bool = False) -> None:
        """Close all connections, or those whose streams have a hole."""
        for link in self._links:
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
        with self.traffic.selector, self._waker, self._woken, self._placeholder:
            while self._running:
                for key, _ in self.traffic.selector.select(self._until_due()):
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
        """Do what the modes allow, forget closed connections, and wake the threads that wait for their number."""
        for link in self._links:
            link.settle()
        self._links = {link for link in self._links if not link.closed}
        with self.changed:
            self.open_clients = sum(link.client_open for link in self._links)
            self.changed.notify_all()

    def _until_due(self) -> float | None:
        """Seconds until the next delayed chunk is due; None if there is none."""
        dues = [
            pipe.chunks[0][0]
            for link in self._links
            for pipe in link.pipes
            if pipe.chunks and not pipe.blocked and self.traffic.modes[pipe.direction] is Mode.FLOW
        ]
        if self.traffic.modes["client_to_server"] is Mode.FLOW:
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
        self._links.add(Link(self.traffic, client))


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
