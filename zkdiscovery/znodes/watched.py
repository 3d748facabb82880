"""The children of one path, kept in step with ZooKeeper: one watch, bulk reads, one read for each change.

Threads: events arrive on the connection thread and only mark names; everything else runs on the worker that is given,
    one task at a
time, so results can't overtake each other. `on_change` is called there, outside locks.

Guarantees
- On each connection: watch first, then list, then read; what happens meanwhile is applied afterwards. Nothing is
  missed, results of an older connection are dropped. The first load is told as one change.
- A node is known by (czxid, mzxid): one that was deleted and recreated is another one even if its version is the same.
- A missing, deleted or recreated parent is an empty set that comes back.
- A node that can't be decoded or read is reported in `rejected` and never harms its siblings.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from zkdiscovery.errors import NodeMissing, UndecodableNode, ZkDiscoveryError
from zkdiscovery.session import (
    NO_NODE,
    EventKind,
    GetChildren,
    Node,
    Session,
    Stat,
    State,
    StateChange,
    Worker,
    bulk_read,
    error_for_code,
)
from zkdiscovery.znodes.paths import name_of, parent_of

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.znodes")

RETRY_DELAY = 0.5  # seconds after a load that failed on a standing connection
RELOAD_SECONDS_FOR_EACH = 0.001  # further seconds of a load's time limit for each node


class Marks(NamedTuple):
    """What happened to a name since it was read last; monotonic seconds, 0.0 for never."""

    changed_at: float = 0.0
    deleted_at: float = 0.0
    there: bool = True  # as the last event left it


@dataclass(slots=True)
class Delta(Generic[T]):
    """What one flush changed.

    Attributes:
        changed: new value by name, for nodes that are new or different.
        removed: names that are gone, with what was seen of their end; None: found gone after a reconnect.
        rejected: reason by name for all nodes that can't be used now.
        reloaded: True for a full load, after which the set is in step with this connection.
    """

    changed: dict[str, T] = field(default_factory=dict)
    removed: dict[str, Marks | None] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    reloaded: bool = False


class WatchedChildren(Generic[T]):
    """The decoded children of one path.

    Args:
        session: the session to use.
        worker: thread for reading; shared by all sets of a client.
        path: the parent, which need not exist.
        decode: `decode(name, data, stat)` gives the value; raises UndecodableNode.
        on_change: called with each Delta, on the worker, outside locks.
    """

    def __init__(
        self,
        session: Session,
        worker: Worker,
        path: str,
        decode: Callable[[str, bytes, Stat], T],
        on_change: Callable[[Delta[T]], None],
    ) -> None:
        self.path = path
        self._session = session
        self._worker = worker
        self._decode = decode
        self._on_change = on_change
        self._lock = threading.Lock()
        self._dirty: dict[str, Marks] = {}
        self._keys: dict[str, tuple[int, int]] = {}  # (czxid, mzxid) by name; the worker's own
        self._rejected: dict[str, str] = {}  # the worker's own
        self._told_rejected: dict[str, str] = {}  # the worker's own
        self._error: ZkDiscoveryError | None = None
        self._generation = 0  # of the last complete load; the worker's own
        self._closed = False
        self._watch = session.watches.add(path, self._on_event)
        session.listen(self._on_state)
        self._schedule(self._load)

    @property
    def error(self) -> ZkDiscoveryError | None:
        """Why the last load failed on a standing connection; None if it did not."""
        return self._error

    def close(self) -> None:
        """Stop; no call of `on_change` begins after the one that may run now."""
        with self._lock:
            self._closed = True
        self._session.unlisten(self._on_state)
        self._worker.cancel((self, self._load.__name__))
        self._worker.cancel((self, self._flush.__name__))
        self._watch.close()

    def _schedule(self, task: Callable[[], None], delay: float = 0.0) -> None:
        self._worker.schedule((self, task.__name__), task, delay)

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._schedule(self._load)

    def _on_event(self, kind: EventKind, path: str) -> None:
        if path == self.path or parent_of(path) != self.path:
            return  # the parent itself: its children have events of their own
        name, now = name_of(path), time.monotonic()
        with self._lock:
            marks = self._dirty.get(name, Marks())
            if kind is EventKind.DELETED:
                # The mark of a change stays: a goodbye written and deleted at once shows only in the order of events.
                self._dirty[name] = marks._replace(deleted_at=now, there=False)
            elif kind is EventKind.CHANGED:
                self._dirty[name] = marks._replace(changed_at=now, there=True)
            else:
                self._dirty[name] = marks._replace(there=True)
        self._schedule(self._flush)

    def _load(self) -> None:
        """Everything anew, for this connection (worker)."""
        session = self._session
        generation = session.generation
        if self._closed or session.state is not State.CONNECTED or generation == self._generation:
            return
        limit = session.settings.operation_timeout
        deadline = time.monotonic() + limit
        try:
            armed = self._watch.arm(generation=generation, deadline=deadline)
            armed.result(limit)
            try:
                listing = GetChildren(self.path)
                names = session.call(listing, deadline=deadline, generation=generation)
            except NodeMissing:
                names = []
            delta: Delta[T] = Delta(reloaded=True)
            deadline += RELOAD_SECONDS_FOR_EACH * len(names)
            present = set(self._read(names, delta, generation, deadline))
        except (ZkDiscoveryError, TimeoutError) as error:
            self._retry(self._load, error)
            return
        for name in [name for name in self._keys if name not in present]:
            del self._keys[name]
            delta.removed[name] = None
        for name in [name for name in self._rejected if name not in present]:
            del self._rejected[name]
        self._generation = generation
        self._error = None
        self._publish(delta)
        self._schedule(self._flush)

    def _flush(self) -> None:
        """What the events marked (worker)."""
        session = self._session
        generation = session.generation
        if self._closed or generation != self._generation:
            return  # a load is due first; the marks wait for it
        with self._lock:
            dirty, self._dirty = self._dirty, {}
        if not dirty:
            return
        delta: Delta[T] = Delta()
        deadline = time.monotonic() + session.settings.operation_timeout + RELOAD_SECONDS_FOR_EACH * len(dirty)
        try:
            alive = [name for name, marks in dirty.items() if marks.there]
            present = set(self._read(alive, delta, generation, deadline))
        except (ZkDiscoveryError, TimeoutError) as error:
            with self._lock:
                self._dirty = {**dirty, **self._dirty}
            self._retry(self._flush, error)
            return
        for name, marks in dirty.items():
            if name not in present:
                self._rejected.pop(name, None)
                if self._keys.pop(name, None) is not None:
                    # Read as missing before its DELETED event came: it ends now.
                    delta.removed[name] = marks._replace(deleted_at=time.monotonic()) if marks.there else marks
        if delta.changed or delta.removed or self._rejected != self._told_rejected:
            self._publish(delta)

    def _read(self, names: list[str], delta: Delta[T], generation: int, deadline: float) -> list[str]:
        """Read nodes into `delta`; answers the names that exist."""
        present: list[str] = []
        prefix = self.path + "/"
        size = len(prefix)
        paths = [prefix + name for name in names]
        for path, node in bulk_read(self._session, paths, generation=generation, deadline=deadline):
            if node == NO_NODE:
                continue
            name = path[size:]
            present.append(name)
            if isinstance(node, Node):
                self._take(name, node, delta)
            else:
                self._reject(name, str(error_for_code(node, GetChildren(path))), delta)
        return present

    def _take(self, name: str, node: Node, delta: Delta[T]) -> None:
        key = (node.stat.czxid, node.stat.mzxid)
        if self._keys.get(name) == key:
            return
        try:
            value = self._decode(name, node.data, node.stat)
        except UndecodableNode as error:
            self._reject(name, str(error), delta)
            return
        self._rejected.pop(name, None)
        self._keys[name] = key
        delta.changed[name] = value

    def _reject(self, name: str, reason: str, delta: Delta[T]) -> None:
        if self._rejected.get(name) != reason:
            log.warning("left out %s/%s: %s", self.path, name, reason)
        self._rejected[name] = reason
        if self._keys.pop(name, None) is not None:
            delta.removed[name] = None

    def _publish(self, delta: Delta[T]) -> None:
        self._told_rejected = delta.rejected = dict(self._rejected)
        if not self._closed:
            self._on_change(delta)

    def _retry(self, task: Callable[[], None], error: Exception) -> None:
        # A lost connection brings a new load by itself; this is for refusals and time-outs on a standing one.
        if self._closed or self._session.state is not State.CONNECTED:
            return
        if isinstance(error, ZkDiscoveryError):
            if self._error is None:
                log.warning("can't read %s, trying again: %s", self.path, error)
            self._error = error
        self._schedule(task, RETRY_DELAY)
