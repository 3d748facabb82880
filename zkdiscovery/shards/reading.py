"""Reads of shards, by anybody: who has which, and who the members are."""

from __future__ import annotations

from dataclasses import dataclass

from zkdiscovery.core import Feature
from zkdiscovery.errors import NodeMissing, UndecodableNode, ZkDiscoveryError
from zkdiscovery.lifecycle import MAX_ID
from zkdiscovery.locks.names import in_order
from zkdiscovery.session import Found, GetChildren, Node, ReadLimits, Session, bulk_read, pipelined
from zkdiscovery.shards.table import Card, Layout, Table, decode_card, read_table


@dataclass(frozen=True, slots=True)
class ShardOwner:
    """One shard, and who holds it.

    Attributes:
        number: of the shard.
        owner: what its holder calls itself, `<hostname>:<pid>:<start>`; None: nobody holds it.
        fence: of the hold; 0 if nobody holds it.
        since: seconds since the epoch: when the holder has queued for it; None if nobody holds it.
        assigned: the member that the table gives it to; None: nobody. Another one than `owner` while it moves.
    """

    number: int
    owner: str | None
    fence: int
    since: float | None
    assigned: str | None


@dataclass(frozen=True, slots=True)
class ShardMember:
    """One member.

    Attributes:
        id: what it calls itself, `<hostname>:<pid>:<start>`.
        weight: the part of the shards that it wants, relative to the others.
        shards: the numbers of those that the table gives it.
    """

    id: str
    weight: float
    shards: tuple[int, ...]

    @property
    def load(self) -> float:
        """Its shards, divided by its weight."""
        return len(self.shards) / self.weight


@dataclass(frozen=True, slots=True)
class ShardTable:
    """The owners of all shards, and the members.

    Attributes:
        count: number of shards.
        shards: each of them, in order.
        members: those that are there, sorted by id.
    """

    count: int
    shards: tuple[ShardOwner, ...]
    members: tuple[ShardMember, ...]


class ShardReads(Feature):
    """The reads of one client."""

    def names(self, timeout: float) -> list[str]:
        """Names of all shards, sorted; one read.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self.core.session.children(self.core.paths.all_shards(), timeout=timeout)

    def table(self, name: str, timeout: float) -> ShardTable:
        """Read who has which shard; one read for each shard, and two or more for all.

        Raises:
            NodeMissing: there are no shards of that name.
            UndecodableNode: what is stored is no table.
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        layout = Layout(name, self.core.paths.shards(name))
        return self.core.session.retry(
            lambda deadline, generation: _read(self.core.session, layout, generation, deadline), timeout
        )


def _read(session: Session, layout: Layout, generation: int, deadline: float) -> ShardTable:
    stored = read_table(session, layout, generation, deadline)
    if stored is None:
        raise NodeMissing(f"there are no shards {layout.name!r} in {layout.root}", path=layout.root)
    table = stored.table
    cards = _read_members(session, layout, generation, deadline)
    requests = [GetChildren(layout.lock(shard)) for shard in range(table.size)]
    first: dict[int, str] = {}
    answers = dict(pipelined(session, requests, ReadLimits(generation, deadline)))
    for shard, request in enumerate(requests):
        names = answers[request]
        if isinstance(names, NodeMissing):  # nobody has queued lately
            continue
        if isinstance(names, ZkDiscoveryError):
            raise names
        if queue := in_order(names):
            first[shard] = f"{request.path}/{queue[0]}"
    nodes = dict(bulk_read(session, list(first.values()), generation=generation, deadline=deadline))
    owners = table.owners()
    shards = tuple(
        _owner(shard, nodes.get(first.get(shard, "")), table, owners.get(shard)) for shard in range(table.size)
    )
    members = [ShardMember(card.id, card.weight, table.shards.get(key, ())) for key, card in cards.items()]
    return ShardTable(table.size, shards, tuple(sorted(members, key=lambda member: (member.id, member.shards))))


def _read_members(session: Session, layout: Layout, generation: int, deadline: float) -> dict[str, Card]:
    try:
        names = session.call(GetChildren(layout.members), deadline=deadline, generation=generation)
    except NodeMissing:
        return {}
    paths = [f"{layout.members}/{name}" for name in names]
    cards: dict[str, Card] = {}
    for name, (_, node) in zip(names, bulk_read(session, paths, generation=generation, deadline=deadline), strict=True):
        if isinstance(node, Node):
            try:
                cards[name] = decode_card(name, *node)
            except UndecodableNode:
                continue  # no member
    return cards


def _owner(shard: int, node: Found | None, table: Table, key: str | None) -> ShardOwner:
    assigned = None if key is None else table.cards[key].id
    if not isinstance(node, Node):
        return ShardOwner(shard, None, 0, None, assigned)
    text = node.data[: 4 * MAX_ID].decode(errors="replace")[:MAX_ID]
    return ShardOwner(shard, text if text.isprintable() else "", node.stat.czxid, node.stat.ctime / 1000, assigned)
