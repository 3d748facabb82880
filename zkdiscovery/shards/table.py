"""The table of shards: which member has which. And the members' own nodes.

Nodes of the shards "orders", below the namespace:

    shards/orders/assignment/table      the table, persistent, so that the number of shards is never forgotten
    shards/orders/members/<key>         one member: its id and its weight
    shards/orders/assigner/<place>      who writes the table: the first place in a queue
    shards/orders/locks/<shard>/<place> who holds a shard: the first place in a queue
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from zkdiscovery.errors import InvalidSettings, NodeExists, NodeMissing, UndecodableNode
from zkdiscovery.lifecycle import MAX_ID
from zkdiscovery.session import Create, GetData, Node, Session, Stat
from zkdiscovery.shards.assignment import assign
from zkdiscovery.znodes import make_container

MOST_SHARDS = 4096

TABLE = "table"


class Layout(NamedTuple):
    """The paths of the nodes of some shards.

    Attributes:
        name: of the shards.
        root: path above all of them.
    """

    name: str
    root: str

    @property
    def title(self) -> str:
        """Names the shards, in messages."""
        return f"the shards {self.name!r}"

    @property
    def assignment(self) -> str:
        """Parent of the table."""
        return f"{self.root}/assignment"

    @property
    def table(self) -> str:
        """The table."""
        return f"{self.assignment}/{TABLE}"

    @property
    def members(self) -> str:
        """Parent of the members."""
        return f"{self.root}/members"

    @property
    def assigner(self) -> str:
        """The queue of those who may write the table."""
        return f"{self.root}/assigner"

    def lock(self, shard: int) -> str:
        """The queue of one shard."""
        return f"{self.root}/locks/{shard}"


class Card(NamedTuple):
    """The description that a member gives of itself.

    Attributes:
        id: what it calls itself.
        weight: the part of the shards that it wants, relative to the others.
    """

    id: str
    weight: float


class Table(NamedTuple):
    """The shards of each member.

    Attributes:
        size: number of shards.
        cards: of the members, by key.
        shards: of the members, by key.
    """

    size: int
    cards: Mapping[str, Card]
    shards: Mapping[str, tuple[int, ...]]

    def owners(self) -> dict[int, str]:
        """Return the key of the member of each shard that has one."""
        return {shard: key for key, shards in self.shards.items() for shard in shards}

    def followed_by(self, cards: Mapping[str, Card]) -> Table:
        """Return the table for these members."""
        weights = {key: card.weight for key, card in cards.items()}
        return Table(self.size, cards, assign(self.size, self.shards, weights))


class Stored(NamedTuple):
    """A table in ZooKeeper, and the version of its node."""

    table: Table
    version: int


def encode_card(card: Card) -> bytes:
    """Return the data of a member's node."""
    return json.dumps(card._asdict(), separators=(",", ":")).encode()


def decode_card(_name: str, data: bytes, stat: Stat) -> Card:
    """Return what a member says of itself. The data is untrusted. Raises UndecodableNode."""
    if not stat.ephemeral_owner:
        raise UndecodableNode("it is persistent, so it stands for no member that lives")
    try:
        return _card(json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UndecodableNode(f"it is no member of shards: {error!r}") from None


def encode_table(table: Table) -> bytes:
    """Return the data of the table's node."""
    members = {key: {**card._asdict(), "shards": table.shards[key]} for key, card in table.cards.items()}
    return json.dumps({"count": table.size, "members": members}, separators=(",", ":")).encode()


def decode_table(_name: str, data: bytes, *_: object) -> Table:
    """Return a table. The data is untrusted. Raises UndecodableNode."""
    try:
        document = json.loads(data)
        count, members = document["count"], document["members"]
        if not _is_whole(count, 1, MOST_SHARDS):
            raise ValueError("count")
        cards = {key: _card(member) for key, member in members.items()}
        shards = {key: _shards(member["shards"], count) for key, member in members.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UndecodableNode(f"it is no table of shards: {error!r}") from None
    return Table(count, cards, shards)


def _card(member: Any) -> Card:
    name, weight = member["id"], member["weight"]
    if not (isinstance(name, str) and name.isprintable()):
        raise ValueError("id")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < 1e9:
        raise ValueError("weight")
    return Card(name[:MAX_ID], float(weight))


def _shards(shards: Any, count: int) -> tuple[int, ...]:
    if not (isinstance(shards, list) and all(_is_whole(shard, 0, count - 1) for shard in shards)):
        raise ValueError("shards")
    return tuple(shards)


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def read_table(session: Session, layout: Layout, generation: int, deadline: float) -> Stored | None:
    """Read the table; None if there is none.

    Raises:
        UndecodableNode: what is stored is no table.
        ZkDiscoveryError: as `Session.call`.
    """
    try:
        node: Node = session.call(GetData(layout.table), deadline=deadline, generation=generation)
    except NodeMissing:
        return None
    try:
        return Stored(decode_table(TABLE, node.data), node.stat.version)
    except UndecodableNode as error:
        raise UndecodableNode(
            f"{layout.table} can't be used: {error}; delete it, and the next member stores another", path=layout.table
        ) from None


def settle_table(session: Session, layout: Layout, count: int | None, generation: int, deadline: float) -> int:
    """Return the number of shards that is stored; store `count` if none is.

    Raises:
        InvalidSettings: another number is stored, or none and none is given.
        UndecodableNode: what is stored is no table.
        ZkDiscoveryError: as `Session.call`.
    """
    if count is None:
        found = read_table(session, layout, generation, deadline)
    else:
        found = ensure_table(session, layout, count, generation, deadline)
    return check_count(layout, None if found is None else found.table.size, count)


def check_count(layout: Layout, stored: int | None, wanted: int | None) -> int:
    """Return the number of shards that is stored.

    Raises:
        InvalidSettings: another number is wanted, or none is stored.
    """
    if stored is None:
        raise InvalidSettings(f"it is not known how many {layout.title} are: give the count")
    if wanted not in {None, stored}:
        raise InvalidSettings(
            f"{layout.title} are {stored}, and count={wanted} was given: give the same or none, or choose another name"
        )
    return stored


def ensure_table(session: Session, layout: Layout, count: int, generation: int, deadline: float) -> Stored | None:
    """Read the table; store one without members first, if there is none. None if it was deleted in that moment.

    Raises:
        UndecodableNode: what is stored is no table.
        ZkDiscoveryError: as `Session.call`.
    """
    found = read_table(session, layout, generation, deadline)
    if found is not None:
        return found
    make_container(session, layout.assignment, generation=generation, deadline=deadline)
    with suppress(NodeExists):  # by another client in the same moment
        request = Create(layout.table, encode_table(Table(count, {}, {})), session.parent_acl)
        session.call(request, deadline=deadline, generation=generation)
    return read_table(session, layout, generation, deadline)
