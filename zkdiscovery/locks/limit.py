"""The limit of a semaphore, stored in a persistent node, so that everybody has the same and it is never forgotten."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from zkdiscovery.errors import NodeExists, NodeMissing, UndecodableNode
from zkdiscovery.session import Create, GetData, Node, Session, SetData
from zkdiscovery.validation import check_whole
from zkdiscovery.znodes import make_container

LARGEST = 2**31 - 1


class Limit(NamedTuple):
    """The limit that somebody wants.

    Attributes:
        root: path of the semaphore.
        number: of holds at the same time; None: whatever is stored.
    """

    root: str
    number: int | None


class Stored(NamedTuple):
    """The limit in force.

    Attributes:
        number: of holds at the same time.
        version: of its node.
    """

    number: int
    version: int


def check_limit(number: object) -> None:
    """Refuse what is no limit.

    Raises:
        InvalidSettings: it is none.
    """
    check_whole(number, "the limit of a semaphore", 1, LARGEST)


def limit_path(root: str) -> str:
    """Return the path of the node that holds the limit."""
    return f"{root}/limit"


def read_limit(session: Session, root: str, generation: int, deadline: float) -> Stored | None:
    """Read the limit; None if none is stored.

    Raises:
        UndecodableNode: what is stored is no limit.
        ZkDiscoveryError: as `Session.call`.
    """
    path = limit_path(root)
    try:
        node: Node = session.call(GetData(path), deadline=deadline, generation=generation)
    except NodeMissing:
        return None
    text = node.data[:20]
    if not text.isdigit() or not 1 <= int(text) <= LARGEST:
        raise UndecodableNode(f"{path} holds no limit of a semaphore: {text!r}; write it with set_limit()", path=path)
    return Stored(int(text), node.stat.version)


def write_limit(session: Session, root: str, number: int, generation: int, deadline: float) -> None:
    """Store the limit, whatever it was. Raises as `Session.call`."""
    request = SetData(limit_path(root), str(number).encode())
    try:
        session.call(request, deadline=deadline, generation=generation)
    except NodeMissing:
        create_limit(session, root, number, generation, deadline)
        session.call(request, deadline=deadline, generation=generation)  # another client may have stored another one


def create_limit(session: Session, root: str, number: int, generation: int, deadline: float) -> None:
    """Store the limit unless one is stored. Raises as `Session.call`."""
    make_container(session, root, generation=generation, deadline=deadline)
    request = Create(limit_path(root), str(number).encode(), session.parent_acl)
    with suppress(NodeExists):  # by another client in the same moment
        session.call(request, deadline=deadline, generation=generation)
