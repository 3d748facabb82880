"""Parents of our nodes: container nodes, made on demand, reaped by ZooKeeper once empty."""

from __future__ import annotations

from collections.abc import Sequence

from zkdiscovery.errors import NodeExists, NodeMissing
from zkdiscovery.session import CONTAINER, AccessEntry, Create, Session
from zkdiscovery.znodes.paths import parent_of


def make_container(
    session: Session, path: str, *, generation: int, deadline: float, acl: Sequence[AccessEntry] | None = None
) -> None:
    """Make `path` and what is missing above it.

    Args:
        session: makes them.
        path: the deepest.
        generation: number of the connection.
        deadline: monotonic seconds.
        acl: of the deepest; None: as the settings say of parents.

    It tries the deepest first, because it needs the right to create in `/` only if something in `/` is missing.

    Raises:
        NodeMissing: an ancestor is an ephemeral, or others delete what is made.
        AccessDenied: no right to create where something is missing.
        NotConnected: as `Session.call`; doing it again is safe.
        OperationTimeout: as `Session.call`; doing it again is safe.
    """
    missing = [path]
    tries = 2 * path.count("/")  # an ancestor may be reaped in between, but not for ever
    while missing:
        try:
            rights = session.parent_acl if acl is None or missing[-1] != path else acl
            session.call(Create(missing[-1], b"", rights, CONTAINER), deadline=deadline, generation=generation)
        except NodeExists:
            pass  # made by another client in the same moment
        except NodeMissing:
            tries -= 1
            if tries < 0:
                raise
            missing.append(parent_of(missing[-1]))
            continue
        missing.pop()
