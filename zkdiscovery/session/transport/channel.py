"""The requests of one client: those that wait to be sent, and those that were sent and have no answer yet.

Guarantees
- A request belongs to one connection (generation). If it was not sent when that connection ended, it is never sent on a
  later one.
- If a future was cancelled, or its deadline has passed, before its turn, its request is discarded unsent. So a
  successful cancel proves that the request was not executed. The request of a running future was written to the socket,
  so its outcome is unknown until its answer comes.
- Futures are completed outside the lock. Their callbacks run on the connection thread: they must not block.
- The thread that submits a request serializes it, so one that can't be serialized fails there.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from zkdiscovery.errors import NotConnected, OperationTimeout, ZkDiscoveryError
from zkdiscovery.session.care import Care
from zkdiscovery.session.clock import lease_now
from zkdiscovery.session.requests import Request, encode
from zkdiscovery.session.translate import describe, path_of

MAX_OUTSTANDING = 20_000  # requests waiting to be sent in one client


class Entry:
    """A request with its future."""

    __slots__ = ("body", "deadline", "future", "request", "sent", "sent_at", "xid")

    def __init__(self, request: Request, deadline: float) -> None:
        self.request = request
        self.body = encode(request)
        self.deadline = deadline  # monotonic seconds
        self.future: Future[Any] = Future()
        self.sent_at = 0.0  # monotonic seconds
        self.sent = 0.0  # as `sent_at`, on the lease clock; read before the first byte leaves
        self.xid = 0


class Channel:
    """Queue of requests. Any thread submits them; the connection thread sends them and completes their futures."""

    def __init__(self, wake: Callable[[], None], care: Care) -> None:
        self.care = care
        self._wake = wake
        self._lock = threading.Lock()
        self._outbox: deque[Entry] = deque()
        self._in_flight: deque[Entry] = deque()
        self._generation = 0  # 0: no connection
        self.last_answer = 0.0  # monotonic seconds; when the latest answer came, which proves both directions

    def open(self, generation: int) -> None:
        """Accept requests for a new connection (connection thread)."""
        with self._lock:
            self._generation = generation
            self.last_answer = time.monotonic()

    @property
    def is_open(self) -> bool:
        """True while there is a connection that serves."""
        return self._generation != 0

    def submit(self, request: Request, *, deadline: float, generation: int | None = None) -> Future[Any]:
        """Queue a request. Never blocks.

        Args:
            request: what to send.
            deadline: monotonic seconds; after it the request is not sent any more.
            generation: number of the only connection to send it on; None: the present one.

        Returns:
            a future. It fails at once with NotConnected if there is no such connection, and with NodeError if the
            request broke several connections.
        """
        entry = Entry(request, deadline)
        if (refusal := self.care.refusal(request, entry.body)) is not None:
            entry.future.set_exception(refusal)
            return entry.future
        with self._lock:
            refused = self._generation == 0 or (generation is not None and generation != self._generation)
            full = len(self._outbox) >= MAX_OUTSTANDING
            # If something waits already, its submitter has woken the connection thread, which has not taken it yet.
            asleep = not self._outbox
            if not refused and not full:
                self._outbox.append(entry)
        if refused:
            entry.future.set_exception(_not_sent(request, "there is no connection to ZooKeeper"))
        elif full:
            entry.future.set_exception(_not_sent(request, f"{MAX_OUTSTANDING} requests are waiting already"))
        elif asleep:
            self._wake()
        return entry.future

    def take(self, limit: int) -> list[Entry]:
        """Take the next requests to write and note them as in flight; discard the stale ones (connection thread)."""
        now, sent = time.monotonic(), lease_now()
        taken: list[Entry] = []
        late: list[Entry] = []
        with self._lock:
            while self._outbox and len(taken) < limit:
                entry = self._outbox.popleft()
                if not entry.future.set_running_or_notify_cancel():
                    continue
                if now >= entry.deadline:
                    late.append(entry)
                    continue
                entry.sent_at, entry.sent = now, sent
                self._in_flight.append(entry)
                taken.append(entry)
        for entry in late:
            entry.future.set_exception(
                OperationTimeout(
                    f"{describe(entry.request)}: not sent within its time limit", path=path_of(entry.request)
                )
            )
        return taken

    def waiting(self) -> bool:
        """True if there is more to take."""
        return bool(self._outbox)

    def answered(self, xid: int) -> Entry | None:
        """Take out the oldest request in flight, if this is its number: its answer has come (connection thread)."""
        with self._lock:
            if not self._in_flight or self._in_flight[0].xid != xid:
                return None
            return self._in_flight.popleft()

    def oldest_sent(self) -> float | None:
        """Monotonic seconds at which the oldest unanswered request was sent; None if there is none."""
        with self._lock:
            return self._in_flight[0].sent_at if self._in_flight else None

    def close(self, error: Callable[[Request, bool], ZkDiscoveryError]) -> None:
        """Fail everything with `error(request, sent)`, because the connection is gone."""
        with self._lock:
            self._generation = 0
            unsent, sent = list(self._outbox), list(self._in_flight)
            self._outbox.clear()
            self._in_flight.clear()
        if sent:
            self.care.broke([(entry.request, entry.body) for entry in sent])
        # Each entry is in one queue at a time, and the thread that takes it out completes it: no future is completed
        # twice.
        for entry in sent:
            entry.future.set_exception(error(entry.request, True))
        for entry in unsent:
            if entry.future.set_running_or_notify_cancel():
                entry.future.set_exception(error(entry.request, False))


def _not_sent(request: Request, reason: str) -> NotConnected:
    return NotConnected(f"{describe(request)}: {reason}", path=path_of(request))
