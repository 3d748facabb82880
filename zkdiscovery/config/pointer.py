"""The pointer of a document: the one node that changes, and that says which revision is in force.

    {"stable": 41, "candidate": null, "percent": 0, "salt": "", "plan": null, "last": 41}

`candidate` is a revision that `percent` of the readers have already: those whose hash of `salt` and id falls below it.
So the readers of a larger percentage contain those of a smaller one. `plan` says how the percentage goes on; readers
do not look at it. `last` is the newest number that was ever given to a revision.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any, NamedTuple

from zkdiscovery.config.layout import Layout
from zkdiscovery.errors import UndecodableNode
from zkdiscovery.session import NO_NODE, Node, Session, Stat, read_together, why_unread
from zkdiscovery.validation import check_number, check_whole

LARGEST = 16 * 1024  # bytes of a pointer


class Pointer(NamedTuple):
    """What says which revision is in force.

    Attributes:
        stable: the revision of all readers that do not have the candidate; 0: none.
        candidate: the revision that is being rolled out; None: no rollout.
        percent: of the readers that have the candidate.
        salt: chooses who they are.
        plan: how the rollout goes on.
        last: the newest revision that there ever was.
    """

    stable: int
    candidate: int | None = None
    percent: float = 0
    salt: str = ""
    plan: Any = None
    last: int = 0

    def chosen(self, reader: str) -> int:
        """Return the revision of a reader, by its id."""
        if self.candidate is None or not is_within(self.percent, self.salt, reader):
            return self.stable
        return self.candidate

    def moved_to(self, revision: int) -> Pointer:
        """Return the pointer at which all readers have this revision, which is the newest. A rollout is over."""
        return Pointer(stable=revision, last=revision)


class StoredPointer(NamedTuple):
    """A pointer in ZooKeeper."""

    pointer: Pointer
    stat: Stat


def is_within(percent: float, salt: str, reader: str) -> bool:
    """Return whether a reader belongs to a percentage. Whoever belongs to one belongs to all larger ones."""
    digest = blake2b(f"{salt}\0{reader}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) * 100 < percent * 2**64


def encode_pointer(pointer: Pointer) -> bytes:
    """Return the data of the pointer's node."""
    return json.dumps(pointer._asdict(), separators=(",", ":")).encode()


def decode_pointer(data: bytes) -> Pointer:
    """Return a pointer. The data is untrusted, and a later version may have added keys. Raises UndecodableNode."""
    try:
        found = json.loads(data)
        pointer = Pointer(**{name: found[name] for name in Pointer._fields if name in found})
        for number in (pointer.stable, pointer.last, pointer.candidate or 0):
            check_whole(number, "a revision", 0)
        check_number(pointer.percent, "percent", least=0, most=100)
        pointer = pointer._replace(salt=str(pointer.salt))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UndecodableNode(f"it is no pointer of a document: {error!r:.200}") from None
    return pointer


def read_pointers(
    session: Session, layouts: list[Layout], generation: int, deadline: float
) -> list[StoredPointer | None]:
    """Read the pointers of several documents, all of one moment; None where there is no such document.

    Raises:
        UndecodableNode: what is stored is no pointer.
        ZkDiscoveryError: as `Session.call`.
    """
    paths = [layout.pointer for layout in layouts]
    nodes = read_together(session, paths, largest=LARGEST, generation=generation, deadline=deadline)
    return [_stored(session, path, node) for path, node in zip(paths, nodes, strict=True)]


def _stored(session: Session, path: str, node: Node | int) -> StoredPointer | None:
    if not isinstance(node, Node):
        if node != NO_NODE:
            raise why_unread(path, node, session.server)
        return None
    try:
        return StoredPointer(decode_pointer(node.data), node.stat)
    except UndecodableNode as error:
        raise UndecodableNode(
            f"{path} can't be used: {error}; delete it, and the next edit stores another", path=path
        ) from None
