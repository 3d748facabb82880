"""The queue of an election: a node for each candidate, its place, in the order of their creation.

Everybody who may list the election may read the places. Newer servers tell nothing of a node to those who may not read
it, not even when it was created (ZOOKEEPER-2590: seen on 3.8.6 and 3.9.5, not on 3.6.4, 3.7.2 and 3.8.0). What a
candidate calls itself stands in its place if the client's ACL lets everybody read it. Else the place is empty, and the
id stands on a card: a node beside the place, with that ACL.
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
    """The ACL of a place if that of the client keeps its nodes from readers, so that it takes a card; else None."""
    if any(entry.permissions & _READ.permissions and entry.scheme == _READ.scheme for entry in acl):
        return None
    return (*acl, _READ)


def read_queue(session: Session, path: str, *, generation: int, deadline: float) -> list[Queued]:
    """The candidates of an election, the leader first. Those whose data we may not read stand there all the same.

    Raises:
        NotConnected, OperationTimeout, AccessDenied, …: as `Session.call`.
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
        else:  # its place is what matters; if that is refused as well, nobody can tell who leads
            data = b""
            try:
                stat = session.call(Exists(where), deadline=deadline, generation=generation)
            except NodeMissing:
                continue
        card = nodes.get(f"{where}{CARD}")
        if isinstance(card, Node):
            data = card.data
        if stat.ephemeral_owner:  # a persistent node would lead for ever: nobody campaigns with it
            queue.append(Queued(stat.czxid, where, data))
    return sorted(queue)
