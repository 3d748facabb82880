"""Persistent-recursive watches: who listens to which path and all below it.

The server forgets them with the connection. On each connection their users arm them again first, and read afterwards.
Requests are answered in order, so no change is missed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import IntEnum
from typing import Any

from zkdiscovery.errors import NotConnected
from zkdiscovery.session.pipeline import fitting
from zkdiscovery.session.requester import Requester
from zkdiscovery.session.requests import RemoveWatches, SetWatches

log = logging.getLogger("zkdiscovery.session")

BATCH = 500  # watches set by one request, at most


class EventKind(IntEnum):
    """A kind of event; ZooKeeper's numbers."""

    CREATED = 1
    DELETED = 2
    CHANGED = 3


_KINDS = {kind.value: kind for kind in EventKind}


class TreeWatch:
    """One user's watch on a path and all below it.

    `listener(kind, path)` runs on the connection thread and must not block.
    """

    def __init__(self, watches: TreeWatches, path: str, listener: Callable[[EventKind, str], None]) -> None:
        self._watches = watches
        self.path = path
        self.listener = listener

    def arm(self, *, generation: int, deadline: float) -> Future[Any]:
        """Set the watch at the server of this connection; what is read after its answer misses no event."""
        if armed := self._watches.arm([self], generation=generation, deadline=deadline):
            return armed[0]
        closed: Future[Any] = Future()
        closed.set_exception(NotConnected(f"the watch on {self.path} was closed"))
        return closed

    def close(self) -> None:
        """Stop listening; the server's watch is removed with its last user. Never blocks."""
        self._watches.remove(self)


class TreeWatches:
    """All tree watches of one session."""

    def __init__(self, session: Requester) -> None:
        self.session = session
        self._lock = threading.Lock()
        self._by_path: dict[str, tuple[TreeWatch, ...]] = {}

    def add(self, path: str, listener: Callable[[EventKind, str], None]) -> TreeWatch:
        """Listen to a path; nothing is sent until the watch is armed."""
        watch = TreeWatch(self, path, listener)
        with self._lock:
            self._by_path[path] = (*self._by_path.get(path, ()), watch)
        return watch

    def arm(self, watches: Sequence[TreeWatch], *, generation: int, deadline: float) -> list[Future[Any]]:
        """Set many in few requests. All of them are set once all futures are done. Closed ones are left out."""
        with self._lock:  # submitted under it, like removals: a watch closed meanwhile must not be set behind that
            paths = [watch.path for watch in watches if watch in self._by_path.get(watch.path, ())]
            return [
                self.session.submit(SetWatches(some), deadline=deadline, generation=generation)
                for some in fitting(paths, BATCH, self.session.care.most_bytes(SetWatches))
            ]

    def remove(self, watch: TreeWatch) -> None:
        """Forget a watch, at the server too if it was the last one of its path. Never blocks; idempotent."""
        with self._lock:
            rest = tuple(w for w in self._by_path.get(watch.path, ()) if w is not watch)
            if rest:
                self._by_path[watch.path] = rest
            elif self._by_path.pop(watch.path, None) is None:
                return
            else:
                # Submitted under the lock, so that it can't overtake an add() of the same path and take its watch away.
                session = self.session
                session.submit(RemoveWatches(watch.path), deadline=time.monotonic() + session.timeout)

    def dispatch(self, kind: int, path: str) -> None:
        """Tell everybody who listens to the path or to one above it (connection thread)."""
        event = _KINDS.get(kind)
        if event is None:  # servers send CHILD events too, if a one-shot watch is on the same path (ZOOKEEPER-4475)
            return
        at = path
        while True:
            # The table is replaced, never changed in place: reading one entry needs no lock.
            for watch in self._by_path.get(at, ()):
                try:
                    watch.listener(event, path)
                except Exception:
                    log.exception("a listener to %s failed", at)
            if at == "/":
                return
            at = at.rpartition("/")[0] or "/"
