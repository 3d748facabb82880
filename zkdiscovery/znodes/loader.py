"""Loads many watched sets together: after an outage a client of a thousand services is fresh again after a few round
trips, not after some for each of them.

Threads: any thread calls `due`. Loading runs on the worker, as all changes of the sets do.

Guarantees
- It watches each set first, then lists, then reads. All of it is sent on one connection, which answers in order, so the
  lists and reads need not wait for the watches. Lists and reads are paced: see `session.pipeline`.
- A set is in force as soon as it is complete. One that can't be read harms none of the others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from zkdiscovery.errors import NodeMissing, ZkDiscoveryError
from zkdiscovery.session import (
    Batch,
    Digest,
    Found,
    GetChildren,
    ReadLimits,
    Session,
    State,
    TreeWatch,
    pipelined,
    read_batches,
)
from zkdiscovery.threads import Worker

log = logging.getLogger("zkdiscovery.znodes")

TOGETHER = 500  # sets; the worker has other tasks between one group and the next


def unreadable() -> Digest:
    """Return what logs the sets that can't be read."""
    return Digest(log, logging.WARNING, "can't read %s, trying again: %s")


class Loadable(Protocol):
    """A set of children, as the loader sees it. All methods are called on the worker."""

    path: str
    watch: TreeWatch

    def wants_load(self, generation: int) -> bool: ...

    def begin_load(self) -> None: ...

    def batch(self, names: Iterable[str]) -> Batch: ...

    def load(self, nodes: Iterable[tuple[str, Found]], generation: int) -> None: ...

    def load_failed(self, error: Exception, digest: Digest) -> None: ...


class Loader:
    """Reads for all sets of a client.

    Args:
        session: where to read.
        worker: the thread that loads; its other tasks wait meanwhile.
    """

    def __init__(self, session: Session, worker: Worker) -> None:
        self.session = session
        self.worker = worker
        self._lock = threading.Lock()
        self._due: dict[Loadable, None] = {}

    def due(self, set_: Loadable) -> None:
        """Load it soon, if there is a connection for which it was not loaded. Never blocks."""
        with self._lock:
            self._due[set_] = None
        self.worker.schedule(self, self._run)

    def _run(self) -> None:
        session = self.session
        generation = session.generation
        with self._lock:
            group = list(islice(self._due, TOGETHER))
            for set_ in group:
                del self._due[set_]
            more = bool(self._due)
        if session.state is State.CONNECTED:  # or else all are due again on the next connection
            with unreadable() as digest:
                self._load([set_ for set_ in group if set_.wants_load(generation)], generation, digest)
        if more:
            self.worker.schedule(self, self._run)

    def _load(self, group: list[Loadable], generation: int, digest: Digest) -> None:
        for set_ in group:
            set_.begin_load()
        waiting = dict.fromkeys(group)
        try:
            # The small ones first: a large one takes long on a slow link, and may be what can't be read to its end.
            listed = sorted(self._listed(waiting, generation, digest), key=lambda pair: len(pair[1]))
            limit = self.session.settings.operation_timeout
            batches = [set_.batch(names) for set_, names in listed]
            nodes = read_batches(self.session, batches, ReadLimits(generation, time.monotonic() + limit, limit))
            for set_, names in listed:
                set_.load(islice(nodes, len(names)), generation)
                del waiting[set_]
        except (ZkDiscoveryError, TimeoutError) as error:
            for set_ in waiting:
                set_.load_failed(error, digest)

    def _listed(
        self, waiting: dict[Loadable, None], generation: int, digest: Digest
    ) -> list[tuple[Loadable, list[str]]]:
        """Watch all, and list the names in each; drop those that can't be listed."""
        session = self.session
        limit = session.settings.operation_timeout
        deadline = time.monotonic() + limit
        watches = session.watches.arm([set_.watch for set_ in waiting], generation=generation, deadline=deadline)
        requests = {GetChildren(set_.path): set_ for set_ in waiting}
        listed: list[tuple[Loadable, list[str]]] = []
        for request, answer in pipelined(session, list(requests), ReadLimits(generation, deadline, limit)):
            set_ = requests[request]
            if isinstance(answer, NodeMissing):
                listed.append((set_, []))
            elif isinstance(answer, ZkDiscoveryError):
                del waiting[set_]
                set_.load_failed(answer, digest)
            else:
                listed.append((set_, answer))
        for watch in watches:
            watch.result(limit)
        return listed
