"""Planted bugs of locks and shards. Each replaces a part of the SDK in this process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from zkdiscovery.errors import NodeMissing
from zkdiscovery.locks import Kind, Place, leases, limit, locks
from zkdiscovery.locks.limit import Stored
from zkdiscovery.locks.names import in_order
from zkdiscovery.session import Exists, GetChildren, GetData, Node, Session, SetData, Stat, Sync
from zkdiscovery.shards.place import ShardPlace
from zkdiscovery.znodes import NumberedNode, QueuePlace, make_container
from zkdiscovery.znodes.reconciler import Reconciler


def adopt_first_node() -> None:
    """A place that adopts the first node of its queue after an unknown outcome, whichever session owns it."""

    def careless(self: Any, generation: int, deadline: float) -> tuple[str, Stat] | None:
        session, parent = self._session, self._parent
        session.call(Sync(parent), deadline=deadline, generation=generation)
        with suppress(NodeMissing):
            for name in in_order(session.call(GetChildren(parent), deadline=deadline, generation=generation)):
                path = f"{parent}/{name}"
                return path, session.call(Exists(path), deadline=deadline, generation=generation)
        return None

    learn = Reconciler._learn

    def blind(self: Any, tracked: Any, found: Node | None) -> None:
        if found is not None and "/locks/" in tracked.node.path:  # so that it is not noticed at the next look
            found = found._replace(stat=found.stat._replace(ephemeral_owner=self._session_id))
        learn(self, tracked, found)

    NumberedNode._find = careless  # type: ignore[method-assign]
    Reconciler._learn = blind  # type: ignore[method-assign]


def watch_first_writer() -> None:
    """A reader that watches the first of the writers ahead, and begins when that one goes."""
    follow = QueuePlace._follow

    def careless(self: Any, ahead: Sequence[str], generation: int, deadline: float) -> None:
        reader = isinstance(self, Place) and self._kind is Kind.READ
        follow(self, ahead[:1] if reader else ahead, generation, deadline)

    QueuePlace._follow = careless  # type: ignore[method-assign]


def keep_limit_in_container() -> None:
    """A semaphore that keeps its limit in its container, which ZooKeeper reaps after the last one has left."""

    def read(session: Session, root: str, generation: int, deadline: float) -> Stored | None:
        try:
            node: Node = session.call(GetData(root), deadline=deadline, generation=generation)
        except NodeMissing:
            return None
        return Stored(int(node.data), node.stat.version) if node.data else None

    def write(session: Session, root: str, number: int, generation: int, deadline: float) -> None:
        make_container(session, root, generation=generation, deadline=deadline)
        session.call(SetData(root, str(number).encode()), deadline=deadline, generation=generation)

    for module in (limit, leases, locks):
        for name, replacement in {
            "limit_path": lambda root: root,
            "read_limit": read,
            "create_limit": write,
            "write_limit": write,
        }.items():
            if hasattr(module, name):
                setattr(module, name, replacement)


def take_shards_at_once() -> None:
    """A member that takes a shard as soon as the table says so, whoever holds the lock of the shard."""
    read = ShardPlace.read_queue

    def careless(self: Any, generation: int, deadline: float) -> list[str]:
        queue = read(self, generation, deadline)
        return [self.node.path] if "/locks/" in self.node.path else queue

    ShardPlace.read_queue = careless  # type: ignore[method-assign]
