"""The owned nodes of a session: which of them are due, and when the reconciler runs.

Each change of a desired state, each event and each connection makes nodes due. One run on the worker sees to all that
are due. `reconciler.py` states the guarantees.

Threads: any thread calls the public methods; the worker runs what is marked so.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from zkdiscovery.errors import NodeMissing, ZkDiscoveryError
from zkdiscovery.session import EventKind, Session, State, StateChange
from zkdiscovery.threads import Worker
from zkdiscovery.znodes.owned import OwnedNode, OwnedState
from zkdiscovery.znodes.reconciler import Reconciler, Tracked

log = logging.getLogger("zkdiscovery.znodes")

BACKOFF = (0.1, 10.0)  # seconds: first and longest delay after a refusal


class OwnedNodes:
    """All owned nodes of one session, and when the reconciler is to see to them."""

    def __init__(self, session: Session, worker: Worker) -> None:
        self.session = session
        self._worker = worker
        self._lock = threading.RLock()  # reentrant, because the garbage collector may end a campaign
        # In order: if two have one path, the one that leaves comes before its successor.
        self._nodes: dict[OwnedNode, Tracked] = {}
        self._due: dict[OwnedNode, None] = {}
        # Used by the worker only:
        self.session_ids: set[int] = set()  # of our sessions so far
        session.listen(self._on_state)

    def own(self, path: str, data: bytes, **options: Any) -> OwnedNode:
        """Want a node from now on. Never blocks. For `options` see OwnedNode."""
        node = self.prepare(path, data, **options)
        self.keep([node])
        return node

    def prepare(self, path: str, data: bytes, **options: Any) -> OwnedNode:
        """Make a node that is wanted from `keep` on; nothing of it is called before. For `options` see OwnedNode."""
        return OwnedNode(self.make_due, path, data, session_id=lambda: self.session.session_id, **options)

    def keep(self, nodes: Iterable[OwnedNode]) -> None:
        """Want many nodes; they are created in as few transactions as fit. Never blocks.

        Raises:
            NoThreadAvailable: the system has no thread to give; none of them is wanted then.
        """
        self._worker.start()
        tracked = {node: Tracked(node) for node in nodes}
        for node, its in tracked.items():
            if node.find_place is None and node.numbered is None:
                self.watch(its)
        with self._lock:
            self._nodes.update(tracked)
        self.make_due(*tracked)

    def want_again(self, node: OwnedNode, data: bytes) -> None:
        """Want a node again that was released, whether or not it is gone already (worker)."""
        finished = node.state is OwnedState.RELEASED
        node.revive(data)
        if finished:
            self.keep([node])
        else:
            self.make_due(node)

    def later(self, task: Callable[[], None], delay: float) -> None:
        """Run a short task on the worker in `delay` seconds, once."""
        self._worker.schedule(task, task, delay)

    # -- what makes nodes due --

    def make_due(self, *nodes: OwnedNode) -> None:
        """Have the reconciler see to these. Never blocks."""
        with self._lock:
            self._due.update(dict.fromkeys(nodes))
        self._worker.schedule(self, self._run)

    def watch(self, tracked: Tracked) -> None:
        """Listen to events of the path of a node."""
        node = tracked.node
        tracked.watch = self.session.watches.add(node.path, partial(self._on_event, node))

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            with self._lock:
                nodes = list(self._nodes)
            if nodes:
                self.make_due(*nodes)

    def _on_event(self, node: OwnedNode, _kind: EventKind, path: str) -> None:
        if path == node.path:
            node.dirty = True
            self.make_due(node)

    # -- the worker --

    def _run(self) -> None:
        session = self.session
        generation, session_id, state = session.generation, session.session_id, session.state
        with self._lock:
            # Nodes that were finished still have the events of their own end.
            made_due, self._due = self._due, {}
            due = [self._nodes[node] for node in made_due if node in self._nodes]
        if state is not State.CONNECTED or not session_id:
            # The others are due again on the next connection.
            for tracked in due:
                if not tracked.node.desired.exists and (state is State.EXPIRED or tracked.surely_absent):
                    self.finish(tracked)
            return
        self.session_ids.add(session_id)
        reconciler = Reconciler(self, generation, session_id, due)
        try:
            reconciler.run()
        except (ZkDiscoveryError, TimeoutError) as error:
            log.debug("reconciling %d owned nodes failed: %s", len(due), error)
            reconciler.put_off(reconciler.open)
        finally:
            reconciler.log()
        self._retry(reconciler.refused)

    def finish(self, tracked: Tracked, reason: str | None = None) -> None:
        """Forget a node that is gone and not wanted any more (worker)."""
        node = tracked.node
        with self._lock:
            self._nodes.pop(node, None)
        if tracked.watch is not None:
            tracked.watch.close()
        error = NodeMissing(f"{node.path} was {reason}", path=node.path) if reason and node.desired.exists else None
        node.record(OwnedState.RELEASED, None, error)

    def _retry(self, refused: Iterable[Tracked]) -> None:
        """See to these later. Those that failed together are tried together."""
        jitter = random.uniform(0.75, 1.25)
        first, longest = BACKOFF
        for tracked in refused:
            self.see_again(tracked.node, min(longest, first * 2.0 ** min(tracked.failures - 1, 10)) * jitter)

    def see_again(self, node: OwnedNode, delay: float) -> None:
        """Make a node due in `delay` seconds (worker)."""
        self._worker.schedule((node, "again"), partial(self.make_due, node), delay)
