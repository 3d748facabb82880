"""The children of one path, kept in step with ZooKeeper: one watch, bulk reads, one read for each change.

Threads: events arrive on the connection thread and only mark names. Everything else runs on the loader's worker, one
task at a time, so results can't overtake each other. `on_change` is called there, outside locks. A flush reads the
names that events have marked, and puts what it finds in force.

Guarantees
- On each connection it watches first, then lists, then reads, and applies afterwards what happened meanwhile. It misses
  nothing, and drops the results of an older connection. The first load is one change.
- A read that fails halfway changes nothing: it is done again.
- A lone change is read at once. In a storm many changes are read together: see pacing.py.
- A node is known by (czxid, mzxid, mtime): one that was deleted and recreated is another one even if its version is the
  same, and so is one of the same transaction id in an ensemble that lost its data.
- If one transaction deletes a node and creates it again, its two events may be seen apart. So a deletion is deferred by
  `ONE_TRANSACTION` if `may_return` says so, and a creation in that time turns it into a change. Others do not wait.
- A missing, deleted or recreated parent is an empty set that comes back.
- A node that can't be decoded or read is reported in `rejected` and never harms its siblings. One that is too large is
  not read, if that is known before. One that the server does not let us read is tried again every 10 s.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from zkdiscovery.errors import ClientClosed, OperationTimeout, UndecodableNode, ZkDiscoveryError
from zkdiscovery.session import (
    NO_NODE,
    Batch,
    Digest,
    EventKind,
    Found,
    Node,
    ReadLimits,
    Stat,
    State,
    StateChange,
    read_batches,
    why_unread,
)
from zkdiscovery.znodes.delta import Delta, Key, Marks, Reading
from zkdiscovery.znodes.loader import Loader, unreadable
from zkdiscovery.znodes.pacing import Pacing
from zkdiscovery.znodes.paths import name_of, parent_of

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.znodes")

RETRY_DELAYS = (0.5, 10.0)  # seconds after the first read that failed on a standing connection, and at most
LOOK_AGAIN = 10.0  # seconds until nodes that ZooKeeper did not let us read are tried again
ONE_TRANSACTION = 0.005  # seconds between two of its events, at most, unless a thread or the server is starved
SAMPLE = 16  # known nodes from which the size of others is estimated: more may have changed since


class WatchedChildren(Generic[T]):
    """The decoded children of one path.

    Args:
        loader: reads, for all sets of a client.
        path: the parent, which need not exist.
        decode: `decode(name, data, stat)` gives the value; raises UndecodableNode.
        on_change: called with each Delta, on the worker, outside locks.
        largest: bytes of data; a node with more is rejected, and not read if that is known before.
        may_return: `may_return(name, marks)` is True if this deletion may be half of a replacement; called on the
            worker; None: never.

    Attributes:
        error: the error of the last read on a standing connection; None if it succeeded.
        generation: number of the connection for which it was loaded last; 0: never.
    """

    def __init__(
        self,
        loader: Loader,
        path: str,
        decode: Callable[[str, bytes, Stat], T],
        on_change: Callable[[Delta[T]], None],
        *,
        largest: float = math.inf,
        may_return: Callable[[str, Marks], bool] | None = None,
    ) -> None:
        loader.worker.start()  # before anything listens
        session = loader.session
        self.path = path
        self._loader = loader
        self._session = session
        self._worker = loader.worker
        self._decode = decode
        self._on_change = on_change
        self._largest = largest
        self._may_return = may_return
        self._lock = threading.Lock()
        self._marked: dict[str, Marks] = {}  # by name: what happened since the last flush
        self._closed = False
        # Used by the worker only:
        self._keys: dict[str, Key] = {}
        self._size = 0.0  # mean bytes of data in the nodes read lately
        self._data_losses = self._losses_then = session.data_losses  # at the last complete load, and at its beginning
        self._earlier: dict[str, Marks] = {}  # what was marked when that one began
        self._rejected: dict[str, str] = {}
        self._notified_rejected: dict[str, str] = {}
        self._unread: set[str] = set()  # of the rejected, those that the server did not let us read
        self._failures = 0  # in a row
        self._deferred = 0  # deletions that the last flush has left for a later one
        # Read or written by other threads, too; any order will do:
        self.error: ZkDiscoveryError | None = None
        self.generation = 0
        self.pacing = Pacing()
        self.watch = session.watches.add(path, self._on_event)
        session.listen(self._on_state)
        loader.due(self)

    def close(self) -> None:
        """Stop; no call of `on_change` begins after the one that may run now."""
        with self._lock:
            self._closed = True
        self._session.unlisten(self._on_state)
        for task in (self._load, self._flush, self._look_again):
            self._worker.cancel((self, task.__name__))
        self.watch.close()

    def _schedule(self, task: Callable[[], None], delay: float = 0.0) -> None:
        self._worker.schedule((self, task.__name__), task, delay)

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._load()

    def _load(self) -> None:
        self._loader.due(self)

    def _on_event(self, kind: EventKind, path: str) -> None:
        if path == self.path or parent_of(path) != self.path:
            return  # the parent itself: its children have events of their own
        name, now = name_of(path), time.monotonic()
        with self._lock:
            known = self._marked.get(name, Marks())
            if kind is EventKind.CREATED:
                # Another node: what the one before it did says nothing of this one.
                self._marked[name] = Marks(created=True)
            elif kind is EventKind.CHANGED:
                self._marked[name] = known.then(Marks(changed_at=now))
            else:
                self._marked[name] = known.then(Marks(deleted_at=now, there=False))
            delay = self.pacing.delay(now)
        if delay is not None:
            self._schedule(self._flush, delay)

    # -- called by the loader, on the worker --

    def wants_load(self, generation: int) -> bool:
        """Return True if it must be read on this connection."""
        return not self._closed and generation != self.generation

    def begin_load(self) -> None:
        """Begin a full load; the loader asks for the watch next, then for the list."""
        # The events of older connections say nothing of what exists now; they only explain what is gone.
        self._earlier = self._take_marked()
        self._losses_then = self._session.data_losses

    def batch(self, names: Iterable[str]) -> Batch:
        """Return how to read these."""
        paths = [f"{self.path}/{name}" for name in names]
        return Batch(paths, self._largest, min(SAMPLE, len(self._keys)), self._size)

    def load(self, nodes: Iterable[tuple[str, Found]], generation: int) -> None:
        """Take what all watched nodes hold. If the iteration of `nodes` raises, nothing changes."""
        reading = self._decoded(nodes)
        self.generation, self._data_losses = generation, self._losses_then
        gone = [name for name in (*self._keys, *self._rejected) if name not in reading.present]
        self._apply(reading, self._explained(gone, self._earlier), reloaded=True)
        self._schedule(self._flush)

    def load_failed(self, error: Exception, digest: Digest) -> None:
        """Undo `begin_load` after an error, and try again later."""
        self._failed(self._load, error, self._earlier, digest)

    # -- the worker --

    def _flush(self) -> None:
        """Read what the events marked, and put it in force."""
        generation = self._session.generation
        if self._closed or generation != self.generation:
            return  # a load is due first; the marks wait for it
        began = time.monotonic()
        marked = self._take_due(began)
        if not marked:
            return
        try:
            self._read_marked(marked, began, generation)
        finally:
            self.pacing.give_up()

    def _read_marked(self, marked: dict[str, Marks], began: float, generation: int) -> None:
        limit = self._session.settings.operation_timeout
        batch = self.batch(name for name, marks in marked.items() if marks.there)
        try:
            reading = self._decoded(read_batches(self._session, [batch], ReadLimits(generation, began + limit, limit)))
        except (ZkDiscoveryError, TimeoutError) as error:
            with unreadable() as digest:
                self._failed(self._flush, error, marked, digest)
            return
        gone = [name for name in marked if name not in reading.present]
        self._apply(reading, self._explained(gone, marked), reloaded=False)
        with self._lock:
            more = len(self._marked) > self._deferred
            pause = self.pacing.flushed(began, time.monotonic(), read=bool(reading.present), more=more)
        if pause is not None:
            self._schedule(self._flush, pause)

    def _note_unread(self, reading: Reading[T]) -> None:
        self._unread = reading.unread | {name for name in self._unread - reading.present if name in self._rejected}
        if self._unread:
            self._schedule(self._look_again, LOOK_AGAIN)

    def _look_again(self) -> None:
        """Read again what could not be read, because no event tells of a right that was given back."""
        with self._lock:
            for name in self._unread:
                self._marked.setdefault(name, Marks())
        self._flush()

    def _take_due(self, now: float) -> dict[str, Marks]:
        """Take what is marked, but for deletions that a creation may follow."""
        with self._lock:
            due = self._marked
            self._marked = {name: marks for name, marks in due.items() if self._may_follow(name, marks, now)}
            self._deferred = len(self._marked)
            for name in self._marked:
                del due[name]
            if due:
                self.pacing.begin()
            deferred = [marks.deleted_at for marks in self._marked.values()]
        if deferred:
            self._schedule(self._flush, min(deferred) + ONE_TRANSACTION - now)
        return due

    def _may_follow(self, name: str, marks: Marks, now: float) -> bool:
        """Return True if a creation of the same transaction may follow a deletion."""
        over = now >= marks.deleted_at + ONE_TRANSACTION
        if self._may_return is None or marks.there or over or name not in self._keys:
            return False
        return self._may_return(name, marks)

    def _take_marked(self) -> dict[str, Marks]:
        with self._lock:
            marked, self._marked = self._marked, {}
        return marked

    def _explained(self, gone: list[str], marks: dict[str, Marks]) -> dict[str, Marks | None]:
        """Return what was seen of the end of those that are gone.

        The event may have come while we read, because an event comes before any answer that knows of it.
        """
        with self._lock:
            later = {name: self._marked[name] for name in gone if name in self._marked}
        return {name: marks.get(name, Marks()).then(later[name]) if name in later else marks.get(name) for name in gone}

    def _decoded(self, nodes: Iterable[tuple[str, Found]]) -> Reading[T]:
        """Decode the nodes that are new or different."""
        reading: Reading[T] = Reading()
        # After a loss of data the same transaction ids stand for other transactions.
        known = self._keys if self._data_losses == self._session.data_losses else {}
        present, values, keys, decode = reading.present, reading.values, reading.keys, self._decode
        size = len(self.path) + 1
        for path, node in nodes:
            name = path[size:]
            if isinstance(node, Node):
                present.add(name)
                data, stat = node
                reading.bytes += len(data)
                key = (stat.czxid, stat.mzxid, stat.mtime)
                if known.get(name) == key:
                    continue
                try:
                    values[name] = decode(name, data, stat)
                    keys[name] = key
                except UndecodableNode as error:
                    reading.refused[name] = str(error)
                except BaseException as error:  # noqa: BLE001 - whatever a codec raises concerns one node
                    reading.refused[name] = f"the codec failed: {error!r}"
            elif isinstance(node, UndecodableNode):  # too large; an event tells if that changes
                present.add(name)
                reading.refused[name] = str(node)
            elif node != NO_NODE:
                present.add(name)
                reading.unread.add(name)
                reading.refused[name] = str(why_unread(path, node, self._session.server))
        return reading

    def _apply(self, reading: Reading[T], gone: Mapping[str, Marks | None], *, reloaded: bool) -> None:
        """Put a complete reading in force, and notify if it differs."""
        delta = Delta(reading.values, reloaded=reloaded)
        weight = len(self._keys)
        self._size = (self._size * weight + reading.bytes) / max(1, weight + len(reading.present))
        self._keys.update(reading.keys)
        if self._rejected:
            for name in reading.values:
                self._rejected.pop(name, None)
        with Digest(log, logging.WARNING, "left out %s: %s") as left_out:
            for name, reason in reading.refused.items():
                if self._rejected.get(name) != reason:
                    path = f"{self.path}/{name}"
                    left_out.add(path, reason, repr(path))
        for name, reason in reading.refused.items():
            self._rejected[name] = reason
            if self._keys.pop(name, None) is not None:
                delta.removed[name] = None
        for name, marks in gone.items():
            self._rejected.pop(name, None)
            if self._keys.pop(name, None) is not None:
                delta.removed[name] = marks
        self._failures, self.error = 0, None
        self._note_unread(reading)
        if reloaded or delta.changed or delta.removed or self._rejected != self._notified_rejected:
            self._notified_rejected = delta.rejected = dict(self._rejected)
            self._notify(delta)

    def _notify(self, delta: Delta[T]) -> None:
        if self._closed:
            return
        try:
            self._on_change(delta)
        except BaseException:  # sys.exit() in a user's code must not end the load of the others
            log.exception("what changed below %s was not taken", self.path)

    def _failed(self, task: Callable[[], None], error: Exception, marks: dict[str, Marks], digest: Digest) -> None:
        with self._lock:
            for name, later in self._marked.items():
                marks[name] = marks.get(name, Marks()).then(later)
            self._marked = marks
        # A lost connection brings a new load by itself; the rest handles refusals and timeouts on a standing one.
        if self._closed or self._session.state is not State.CONNECTED or isinstance(error, ClientClosed):
            return
        if not isinstance(error, ZkDiscoveryError):
            error = OperationTimeout(f"watch {self.path}: no answer from {self._session.server}", path=self.path)
        if self.error is None:
            digest.add(self.path, str(error))
        self.error = error
        first, longest = RETRY_DELAYS
        delay = min(longest, first * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._schedule(task, delay)
