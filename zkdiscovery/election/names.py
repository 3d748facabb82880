"""Which elections there are."""

from __future__ import annotations

from zkdiscovery.election.room import Room
from zkdiscovery.errors import NodeMissing
from zkdiscovery.session import GetChildren


def election_names(room: Room, timeout: float) -> list[str]:
    """Names of all elections, sorted; one read. Empty ones may be listed until ZooKeeper reaps them.

    Raises:
        NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
    """
    try:
        names: list[str] = room.session.read(GetChildren(room.paths.elections()), timeout=timeout)
    except NodeMissing:
        return []
    return sorted(names)
