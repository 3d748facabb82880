"""Ephemerals to whose names ZooKeeper adds a number, created once, however often an answer is lost.

The name of such a node begins with a uuid of its own, by which it is found after a creation of unknown outcome. The
lowest one of our session is adopted. All others with that uuid are deleted: two of them, or one of an earlier session,
would make a lock wait for itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

from zkdiscovery.errors import NodeMissing
from zkdiscovery.session import (
    CreateNumbered,
    Delete,
    Exists,
    GetChildren,
    Node,
    Session,
    Stat,
    Sync,
)
from zkdiscovery.znodes.owned import OwnedNode, OwnedState
from zkdiscovery.znodes.parents import make_container
from zkdiscovery.znodes.paths import parent_of

TRIES = 3  # creations, each after the parent was made: ZooKeeper may reap an empty one in between


class NumberedNode:
    """The creation of one node, `<path><number>`.

    Args:
        session: creates it.
        path: begins that of the node.
        token: begins its name and that of no other node.

    Attributes:
        tried: True once a creation was sent, so the node may stand.
    """

    def __init__(self, session: Session, path: str, token: str) -> None:
        self._session = session
        self._path = path
        self._parent = parent_of(path)
        self._token = token
        self.tried = False

    def create(self, node: OwnedNode, generation: int, *, look: bool) -> None:
        """Create the node, or find what an earlier call has created; see `Numbered`."""
        deadline = time.monotonic() + self._session.settings.operation_timeout
        data = node.desired.data
        made = self._find(generation, deadline) if look else None
        if made is None and data is not None:
            made = self._create(node, data, generation, deadline)
        if made is not None:
            path, stat = made
            node.move(path, data or b"")
            node.record(OwnedState.HELD, Node(data or b"", stat))

    def delete_others(self, path: str, names: Iterable[str], generation: int, deadline: float) -> None:
        """Delete all children with our token but the node at `path`.

        Raises:
            ZkDiscoveryError: as `Session.call`.
        """
        for other in self._ours(names):
            if other != path:
                with suppress(NodeMissing):
                    self._session.call(Delete(other), deadline=deadline, generation=generation)

    def _create(self, node: OwnedNode, data: bytes, generation: int, deadline: float) -> tuple[str, Stat]:
        session = self._session
        request = CreateNumbered(self._path, data, node.acl or session.leaf_acl)
        for left in reversed(range(TRIES)):
            self.tried = True
            try:
                made: tuple[str, Stat] = session.call(request, deadline=deadline, generation=generation)
            except NodeMissing:
                if not left:
                    raise
                make_container(session, self._parent, generation=generation, deadline=deadline)
            else:
                return made
        raise AssertionError("unreachable")

    def _find(self, generation: int, deadline: float) -> tuple[str, Stat] | None:
        """Return our node with the lowest number, and delete the others. None if there is none."""
        session = self._session
        session.call(Sync(self._parent), deadline=deadline, generation=generation)
        try:
            names = session.call(GetChildren(self._parent), deadline=deadline, generation=generation)
        except NodeMissing:
            return None
        found: tuple[str, Stat] | None = None
        for path in self._ours(names):
            with suppress(NodeMissing):
                stat: Stat = session.call(Exists(path), deadline=deadline, generation=generation)
                if found is None and stat.ephemeral_owner == session.session_id:
                    found = path, stat
        self.delete_others(found[0] if found else "", names, generation, deadline)
        return found

    def _ours(self, names: Iterable[str]) -> list[str]:
        return sorted(f"{self._parent}/{name}" for name in names if name.startswith(self._token))
