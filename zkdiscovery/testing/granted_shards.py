"""Shards that a static client shares out at once among its own members."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from zkdiscovery.core import Core
from zkdiscovery.errors import InvalidSettings, NodeMissing
from zkdiscovery.lifecycle import default_id
from zkdiscovery.locks import MakeHold, Place
from zkdiscovery.shards import ShardMember, ShardOwner, ShardReads, ShardTable
from zkdiscovery.shards.claim import TakePlace
from zkdiscovery.shards.membership import Membership, Registered
from zkdiscovery.shards.sharding import Sharding
from zkdiscovery.shards.table import Card, Layout, Table, check_count
from zkdiscovery.testing.granted import GrantedPlace
from zkdiscovery.threads import Steps
from zkdiscovery.znodes import BaseHold

H = TypeVar("H", bound=BaseHold)


class _Group:
    """The shards of one name.

    Attributes:
        lock: guards all of it.
        table: the newest; None while nobody has told how many there are.
        members: by key.
        places: those that are not over, the first one of each shard first.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.table: Table | None = None
        self.members: dict[str, tuple[Card, Membership[Any]]] = {}
        self.places: list[_GrantedShard[Any]] = []

    def share_out(self) -> None:
        """Make the table for the present members, and tell them."""
        with self.lock:
            if self.table is not None:
                self.table = self.table.followed_by({key: card for key, (card, _) in self.members.items()})
                for _, membership in self.members.values():
                    membership.take_table(self.table)


class _GrantedMember:
    """In the place of a `Member`."""

    connected = True

    def __init__(self, group: _Group, membership: Membership[Any]) -> None:
        self._group = group
        self._key = membership.key
        self._membership = membership

    def leave(self) -> None:
        group = self._group
        with group.lock:
            if group.members.pop(self._key, None) is not None and group.table is not None:
                group.share_out()
                self._membership.take_table(group.table)

    def end(self) -> None:
        self.leave()

    def leaving(self, _timeout: float) -> Steps[None]:
        yield from ()

    def forked(self) -> None:
        self._group.members.pop(self._key, None)


class _GrantedShard(GrantedPlace[H]):
    """A place that holds its shard once those before it are over."""

    def __init__(
        self, group: _Group, number: int, title: str, fence: int, make_hold: MakeHold[H], tell: Callable[[], None]
    ) -> None:
        self.number = number
        self.fence = fence
        self.since = time.time()
        self.tell = tell
        self._group = group
        with group.lock:
            self._ahead = [place for place in group.places if place.number == number]
            super().__init__(title, title, fence, make_hold, lambda _hold: None, self._on_end)
            group.places.append(self)

    @property
    def hold(self) -> H | None:
        return super().hold if all(place.over for place in self._ahead) else None

    def _on_end(self, _reason: str) -> None:
        with self._group.lock:
            self._group.places.remove(self)
            others = list(self._group.places)
        for place in (self, *others):
            place.tell()


class GrantedShards(Sharding):
    """Shards that are held at once, with fences that grow."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._fences = itertools.count(1)
        self.groups: dict[str, _Group] = {}

    def register(self, layout: Layout, card: Card, count: int | None, membership: Membership[Any]) -> Registered:
        group = self.groups.setdefault(layout.name, _Group())
        member = _GrantedMember(group, membership)
        try:
            stored = count if group.table is None else group.table.size
            group.table = group.table or Table(check_count(layout, stored, count), {}, {})
            check_count(layout, stored, count)
        except InvalidSettings as error:
            membership.refuse(error)
        else:
            with group.lock:
                group.members[membership.key] = card, membership
                group.share_out()
        return member

    def places(self, layout: Layout, make_hold: MakeHold[H]) -> TakePlace[H]:
        group = self.groups.setdefault(layout.name, _Group())

        def take(shard: int, tell: Callable[[], None]) -> Place[H]:
            title = f"shard {shard} of {layout.title}"
            place = _GrantedShard(group, shard, title, next(self._fences), make_hold, tell)
            tell()
            return place

        return take

    def lose(self, name: str) -> None:
        """End the holds of the shards of a name."""
        group = self.groups.get(name)
        for place in list(group.places) if group is not None else []:
            place.end_hold("lost in a test")


class GrantedReads(ShardReads):
    """Reads of these."""

    def names(self, timeout: float) -> list[str]:  # noqa: ARG002
        return sorted(self._groups())

    def table(self, name: str, timeout: float) -> ShardTable:  # noqa: ARG002
        group = self._groups().get(name)
        if group is None or group.table is None:
            raise NodeMissing(f"there are no shards {name!r}")
        table, me = group.table, default_id()
        holders = {place.number: place for place in list(group.places) if place.holds}
        owners = table.owners()
        shards = [
            ShardOwner(number, me, holders[number].fence, holders[number].since, me if number in owners else None)
            if number in holders
            else ShardOwner(number, None, 0, None, me if number in owners else None)
            for number in range(table.size)
        ]
        members = [ShardMember(card.id, card.weight, table.shards[key]) for key, card in table.cards.items()]
        return ShardTable(table.size, tuple(shards), tuple(members))

    def _groups(self) -> dict[str, _Group]:
        sharding = self.core.feature(Sharding)
        return sharding.groups if isinstance(sharding, GrantedShards) else {}
