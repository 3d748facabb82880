"""The feature that the memberships of one client share. It closes when the client drains."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.lifecycle import default_id
from zkdiscovery.locks import MakeHold, Place
from zkdiscovery.shards.claim import TakePlace
from zkdiscovery.shards.member import Member, new_key
from zkdiscovery.shards.membership import Membership, Registered
from zkdiscovery.shards.place import ShardPlace
from zkdiscovery.shards.table import Card, Layout
from zkdiscovery.threads import run_steps
from zkdiscovery.znodes import BaseHold

H = TypeVar("H", bound=BaseHold)


class Sharding(Feature):
    """The memberships of one client."""

    phase = Phase.HOLDS

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._lock = threading.Lock()
        self._memberships: weakref.WeakSet[Membership[Any]] = weakref.WeakSet()  # `run` refers to those that last

    def join(
        self,
        name: str,
        count: int | None,
        weight: float,
        make_hold: MakeHold[H],
        me: Callable[[], object],
        on_held: Callable[[tuple[int, ...]], None],
    ) -> Membership[H]:
        """Become a member. Never blocks. The arguments are those of `Shards` and `Membership`.

        Raises:
            ClientClosed: the client was drained or closed.
            NoThreadAvailable: the system has no thread to give.
        """
        layout = Layout(name, self.core.paths.shards(name))
        membership = Membership(layout, new_key(), self.places(layout, make_hold), me, on_held)
        with self._lock:
            self.require_open()
            membership.register(self.register(layout, Card(default_id(), weight), count, membership))
            self._memberships.add(membership)
        return membership

    def register(self, layout: Layout, card: Card, count: int | None, membership: Membership[Any]) -> Registered:
        """Make the node of a member."""
        return Member(self.core, layout, card, count, membership)

    def places(self, layout: Layout, make_hold: MakeHold[H]) -> TakePlace[H]:
        """Return what takes a place in the queue of a shard."""

        def take(shard: int, tell: Callable[[], None]) -> Place[H]:
            return ShardPlace(self.core, f"shard {shard} of {layout.title}", layout.lock(shard), make_hold, tell)

        return take

    def begin_close(self, deadline: float) -> None:  # noqa: ARG002 - it is quick
        for membership in self._all():
            membership.leave()

    def close(self, deadline: float) -> None:
        for membership in self._all():
            run_steps(membership.leaving(deadline))

    def forked(self) -> None:
        for membership in list(self._memberships):
            membership.forked()

    def _all(self) -> list[Membership[Any]]:
        with self._lock:
            return list(self._memberships)
