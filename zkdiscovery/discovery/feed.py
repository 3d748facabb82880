"""Snapshots of one service, and the views that follow them.

Threads: `publish` is called on one thread, that of the cache. Any thread joins and leaves, and reads `snapshot`, which
is one attribute that is replaced in one assignment and needs no lock.

A feed holds its followers weakly, so a view that nobody refers to any more is gone. One that is held, because it has
subscriptions, stays. The garbage collector may run anywhere, also while this thread has a lock of ours, so it takes
none: it only puts the feed into a queue.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from zkdiscovery.core import Core
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.model import Change, Instance, Snapshot
from zkdiscovery.threads import Monitor

log = logging.getLogger("zkdiscovery.discovery")


class Follower(Protocol):
    """A receiver of snapshots. Its calls never overlap."""

    def follow(self, change: Change) -> None:
        """Take `change.after`; the rest is for a follower that has `change.before`. Must not block."""
        ...


class Feed:
    """The snapshots of one service.

    Args:
        core: of the client.
        service: its name.
        path: where it stands.
        on_unused: called when the last follower is gone, on the thread that notices it.
        collected: takes the feed when a follower was collected.
    """

    def __init__(
        self,
        core: Core,
        service: str,
        path: str,
        on_unused: Callable[[Feed], object],
        collected: SimpleQueue[Feed],
    ) -> None:
        self.service = service
        self.path = path
        self.snapshot = Snapshot(service)
        self._session = core.session
        self._worker = core.loader.worker
        self._on_unused = on_unused
        self._collected = collected
        self._lock = threading.Lock()
        self._followers: tuple[weakref.ref[Follower], ...] = ()
        self._held: set[Follower] = set()
        self._joining = 0

    @property
    def error(self) -> ZkDiscoveryError | None:
        """The error of reading it; None if nothing is known to be wrong."""
        return self._session.failure

    @property
    def fatal_error(self) -> ZkDiscoveryError | None:
        """The error because of which it will not be loaded, unless something changes at the servers."""
        return self._session.fatal_error

    @property
    def errors_changed(self) -> Monitor:
        """The monitor that tells of a fatal error."""
        return self._session.changed

    @property
    def status_message(self) -> str:
        """The reason why it is not loaded, in words."""
        return self._session.status_message or "ZooKeeper has not answered yet"

    @property
    def used(self) -> bool:
        """True while there is a follower, or one is about to join."""
        with self._lock:
            return bool(self._joining or self._held) or any(ref() is not None for ref in self._followers)

    def reserve(self) -> None:
        """Keep the feed alive until the matching `join`."""
        with self._lock:
            self._joining += 1

    def join(self, follower: Follower) -> None:
        """Add a follower. The calling thread delivers the current snapshot first, if there is one."""
        known = self.snapshot
        try:
            if known.loaded:
                self._tell(follower, added(known))
        finally:
            with self._lock:
                self._joining -= 1
                ref = weakref.ref(follower, self._note_collected)
                self._followers = (*(ref for ref in self._followers if ref() is not None), ref)
        if self.snapshot is not known:  # published between the two, for those who had joined
            self._worker.schedule((self, ref), lambda: self._catch_up(ref))

    def hold(self, follower: Follower, wanted: Callable[[], bool]) -> None:
        """Hold a follower strongly for as long as `wanted()` says so; called at each change of that."""
        with self._lock:  # so that the last state wins, in whatever order the calls come
            if wanted():
                self._held.add(follower)
            else:
                self._held.discard(follower)

    def leave(self, follower: Follower) -> None:
        """Forget a follower."""
        with self._lock:
            self._held.discard(follower)
            self._followers = tuple(ref for ref in self._followers if ref() not in {None, follower})
        if not self.used:
            self._on_unused(self)

    def close(self) -> None:
        """Stop following. Never blocks."""

    def publish(self, change: Change) -> None:
        """Put a snapshot in force and tell all followers."""
        self.snapshot = change.after
        for ref in self._followers:
            follower = ref()
            if follower is not None:
                self._tell(follower, change)
        if not self.used:
            self._on_unused(self)

    def _catch_up(self, ref: weakref.ref[Follower]) -> None:
        follower = ref()
        if follower is not None and ref in self._followers:
            self._tell(follower, added(self.snapshot))

    def _tell(self, follower: Follower, change: Change) -> None:
        try:
            follower.follow(change)
        except KeyboardInterrupt:
            raise
        except BaseException:  # a user's own balancer may raise; the other views are not to blame
            log.exception("a view of %r could not follow", self.service)

    def _note_collected(self, _ref: weakref.ref[Follower]) -> None:
        self._collected.put(self)


def difference(before: Snapshot, after: Snapshot) -> Change:
    """The change from one snapshot to another, whatever lies between."""
    old = {instance.id: instance for instance in before.instances}
    delta: dict[str, tuple[Instance | None, Instance | None]] = {}
    for instance in after.instances:
        was = old.pop(instance.id, None)
        if was is None or (was is not instance and was != instance):
            delta[instance.id] = (was, instance)
    delta.update({key: (was, None) for key, was in old.items()})
    return Change(before, after, delta)


def added(snapshot: Snapshot) -> Change:
    """The change from nothing to a snapshot."""
    return difference(Snapshot(snapshot.service), snapshot)
