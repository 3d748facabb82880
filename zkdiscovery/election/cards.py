"""The nodes of an election: a place for each candidate, and a card beside it where the ACL keeps readers out.

Everybody who may list the election may read the places. Newer servers tell nothing of a node to those who may not read
it, not even when it was created (ZOOKEEPER-2590: seen on 3.8.6 and 3.9.5, not on 3.6.4, 3.7.2 and 3.8.0). If the
client's ACL lets everybody read, the place holds the candidate's id. If it does not, the place is empty, and the id is
on a card: a node beside the place, with that ACL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zkdiscovery.errors import NodeMissing
from zkdiscovery.session import NO_NODE, AccessEntry, Exists, GetChildren, Node, Session, bulk_read

CARD = ".card"  # ends the name of a card, which begins with that of the place

_READ = AccessEntry(1, "world", "anyone")


class Queued(NamedTuple):
    """A place in the queue of an election, and what its candidate says of itself."""

    czxid: int
    path: str
    data: bytes


def place_acl(acl: Sequence[AccessEntry]) -> tuple[AccessEntry, ...] | None:
    """Return the ACL of a place that needs a card, because the client's ACL keeps readers out; None for others."""
    if any(entry.permissions & _READ.permissions and entry.scheme == _READ.scheme for entry in acl):
        return None
    return (*acl, _READ)


def read_candidates(session: Session, path: str, *, generation: int, deadline: float) -> list[Queued]:
    """Return the candidates of an election, the leader first, those whose data we may not read included.

    Raises:
        ZkDiscoveryError: as `Session.call`.
    """
    try:
        names = session.call(GetChildren(path), deadline=deadline, generation=generation)
    except NodeMissing:
        return []
    paths = [f"{path}/{name}" for name in names]
    nodes = dict(bulk_read(session, paths, generation=generation, deadline=deadline))
    queue = []
    for where, found in nodes.items():
        if where.endswith(CARD) or found == NO_NODE:
            continue
        if isinstance(found, Node):
            data, stat = found
        else:  # its place matters; if the server refuses that as well, nobody can tell who leads
            data = b""
            try:
                stat = session.call(Exists(where), deadline=deadline, generation=generation)
            except NodeMissing:
                continue
        card = nodes.get(f"{where}{CARD}")
        if isinstance(card, Node):
            data = card.data
        if stat.ephemeral_owner:  # nobody campaigns with a persistent node, which would lead for ever
            queue.append(Queued(stat.czxid, where, data))
    return sorted(queue)
