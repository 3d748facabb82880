"""The cache of one service in one client, whatever the number of views.

Threads: everything runs on the client's cache worker; see feed.py for what others may call.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from queue import SimpleQueue

from zkdiscovery.codecs import MAX_DATA_BYTES
from zkdiscovery.core import Core
from zkdiscovery.discovery.feed import Feed
from zkdiscovery.discovery.guard import LEAVING, MassLossGuard, was_deregistered
from zkdiscovery.discovery.sources import Sources
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.model import NO_METADATA, Change, FrozenDict, Instance, Snapshot
from zkdiscovery.session import Stat, State, StateChange
from zkdiscovery.znodes import Delta, Marks, WatchedChildren

log = logging.getLogger("zkdiscovery.discovery")

Changes = dict[str, tuple[Instance | None, Instance | None]]

TOGETHER = 0.005  # seconds between a last write and the deletion, if one transaction has both


class ServiceCache(Feed):
    """The instances of one service in ZooKeeper, as snapshots."""

    def __init__(
        self,
        core: Core,
        service: str,
        on_unused: Callable[[Feed], object],
        collected: SimpleQueue[Feed],
    ) -> None:
        super().__init__(core, service, core.paths.service(service), on_unused, collected)
        self._codec = core.codec
        self._guard = MassLossGuard(core.settings.guard, core.session.timeout)
        self._instances: dict[str, Instance] = {}
        self._sources = core.feature(Sources)
        self._of_sources: Counter[str] = Counter()  # instances by the source that they name
        self._lost_sources: dict[str, str] = {}  # and why their instances are suspects
        self._closed = False
        self._children = WatchedChildren(
            core.loader, self.path, self._decode, self._apply, largest=MAX_DATA_BYTES, may_return=self._may_return
        )
        self._session.listen(self._on_state)

    @property
    def error(self) -> ZkDiscoveryError | None:
        return self._children.error or super().error

    @property
    def status_message(self) -> str:
        error = self._children.error
        return str(error) if error else super().status_message

    def close(self) -> None:
        """Stop following ZooKeeper. Never blocks."""
        self._closed = True
        self._session.unlisten(self._on_state)
        self._children.close()
        self._worker.cancel(self)
        self._leave_sources()

    def _decode(self, name: str, data: bytes, _stat: Stat) -> Instance:
        return self._codec.decode(self.service, name, data)

    def _on_state(self, change: StateChange) -> None:
        if change.state in {State.SUSPENDED, State.EXPIRED}:
            since = time.monotonic()
            self._worker.schedule((self, "stale"), lambda: self._mark_stale(since))

    def _mark_stale(self, since: float) -> None:
        # By what is now: while this task waited, another connection may have been loaded, and may have broken as well.
        session = self._session
        live = session.state is State.CONNECTED and self._children.generation == session.generation
        if self.snapshot.stale_since is None and not live:
            self._publish({}, stale_since=since)

    def _may_return(self, name: str, marks: Marks) -> bool:
        """An instance that vanishes without deregistering may be replaced in the same transaction (worker).

        A write belongs to a deregistration only if it comes with the deletion, and to the node that we know: a node
        that replaces another one may be written when it is created.
        """
        farewell = not marks.created and marks.deleted_at - marks.changed_at < TOGETHER
        return self._instances[name].status not in LEAVING and not farewell

    def _apply(self, delta: Delta[Instance]) -> None:
        """Take a change of the watched children (worker)."""
        now = time.monotonic()
        changes: Changes = {}
        vanished: list[Instance] = []
        for name, instance in delta.changed.items():
            known = self._instances.get(name)
            if known != instance:  # or else it was written anew, as by an owner whose session expired
                changes[name] = (known, instance)
                self._instances[name] = instance
        for name, marks in delta.removed.items():
            gone = self._instances.pop(name, None)
            if gone is None:
                continue
            changes[name] = (gone, None)
            if name not in delta.rejected and not was_deregistered(gone, marks):
                vanished.append(gone)
        self._guard.session_timeout = self._session.timeout
        self._guard.returned(delta.changed)
        if suspected := self._guard.lost(vanished, len(self._instances), now):
            log.warning(
                "%d instances of %r vanished within %.1f s without deregistering, %d are left: kept as suspects"
                " for %.1f s (settings.guard)",
                suspected, self.service, self._guard.window, len(self._instances), self._guard.hold,
            )  # fmt: skip
            self._plan_release(now)
        shown = self._shown(changes)
        self._follow_sources(changes)
        if not (changes or delta.reloaded) and delta.rejected == self.snapshot.rejected:
            return
        self._publish(
            shown,
            rejected=delta.rejected,
            stale_since=None if delta.reloaded else self.snapshot.stale_since,
            loaded=self.snapshot.loaded or delta.reloaded,
        )

    def _follow_sources(self, changes: Changes) -> None:
        """Follow the sources that instances name, and no others."""
        before = set(self._of_sources)
        for old, new in changes.values():
            if old is not None and old.source is not None:
                self._of_sources[old.source] -= 1
            if new is not None and new.source is not None:
                self._of_sources[new.source] += 1
        self._of_sources = +self._of_sources  # those with instances
        for source in self._of_sources.keys() - before:
            self._sources.follow(source, self._on_source)
        for source in before - self._of_sources.keys():
            self._sources.unfollow(source, self._on_source)
            self._lost_sources.pop(source, None)
        if self._closed:  # meanwhile
            self._leave_sources()

    def _leave_sources(self) -> None:
        for source in list(self._of_sources):
            self._sources.unfollow(source, self._on_source)

    def _shown(self, changes: Changes) -> Changes:
        """Return the changes without the instances that are suspects because of their source."""
        if not self._lost_sources:
            return changes
        shown = {name: (self._present(old), self._present(new)) for name, (old, new) in changes.items()}
        return {name: pair for name, pair in shown.items() if pair != (None, None)}

    def _present(self, instance: Instance | None) -> Instance | None:
        return None if instance is None or instance.source in self._lost_sources else instance

    def _on_source(self, source: str, why: str) -> None:
        """Make the instances of a source suspects, or take that back (worker)."""
        if self._closed or source not in self._of_sources:
            return
        found = [instance for instance in self._instances.values() if instance.source == source]
        changes: Changes = {}
        if why and source not in self._lost_sources:
            changes = {instance.id: (instance, None) for instance in found}
        elif not why:
            changes = {instance.id: (None, instance) for instance in found}
        if why:
            self._lost_sources[source] = why
        else:
            self._lost_sources.pop(source, None)
        self._publish(changes, stale_since=self.snapshot.stale_since)

    def _plan_release(self, now: float) -> None:
        due = self._guard.next_release()
        if due is not None and not self._closed:
            self._worker.schedule(self, self._release, max(0.0, due - now))

    def _release(self) -> None:
        now = time.monotonic()
        released = self._guard.release(now)
        if released:
            log.warning("%d suspects of %r did not come back and are let go", len(released), self.service)
            self._publish({}, stale_since=self.snapshot.stale_since)
        self._plan_release(now)

    def _publish(
        self,
        changes: Changes,
        *,
        rejected: Mapping[str, str] | None = None,
        stale_since: float | None,
        loaded: bool | None = None,
    ) -> None:
        before, lost = self.snapshot, self._lost_sources
        instances, suspects = tuple(self._instances.values()) if changes else before.instances, self._guard.suspects
        if lost:
            instances = tuple([instance for instance in instances if instance.source not in lost])
            suspects += tuple([instance for instance in self._instances.values() if instance.source in lost])
        after = Snapshot(
            self.service,
            version=before.version + 1,
            instances=instances,
            suspects=suspects,
            rejected=before.rejected if rejected is None else rejected,
            loaded=before.loaded if loaded is None else loaded,
            stale_since=stale_since,
            lost_sources=FrozenDict(lost) if lost else NO_METADATA,
        )
        self.publish(Change(before, after, changes))
