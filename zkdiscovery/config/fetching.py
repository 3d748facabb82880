"""Reads of documents: the pointers in one request, then the revisions that are new, then the pieces that are new.

Guarantees
- What `fetch` returns is what ZooKeeper held at one moment: the pointers are of one moment, and revisions never change.
- A change costs two requests, and at most one for each piece that changed.
- A revision that was pruned meanwhile is no error: the pointer has moved, and is read again.

Threads: one at a time uses a `Fetcher`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from zkdiscovery.config.documents import LARGEST, Document, decode_document
from zkdiscovery.config.layout import Layout
from zkdiscovery.config.pieces import MEAN, name_of_piece
from zkdiscovery.config.pointer import Pointer, StoredPointer, read_pointers
from zkdiscovery.config.revisions import INLINE, Record, decode_record
from zkdiscovery.errors import NodeMissing, UndecodableNode
from zkdiscovery.session import (
    NO_NODE,
    Batch,
    Found,
    GetChildren,
    Node,
    ReadLimits,
    Session,
    Stat,
    read_batches,
    why_unread,
)

Key = tuple[int, int, int]  # of a pointer's creation, because a wiped ensemble counts from 1 again; and the revision

NONE = 0  # the revision of a document that does not exist


class Fetched(NamedTuple):
    """One revision of one document.

    Attributes:
        name: of the document.
        number: of the revision; NONE: there is no such document.
        document: its content; empty if there is none.
        key: equal for the same revision only.
        pieces: the content in pieces, by name, if it is large.
    """

    name: str
    number: int
    document: Document
    key: Key = (0, 0, NONE)
    pieces: Mapping[str, bytes] = {}


class RevisionMissing(UndecodableNode):
    """A revision, or a piece of it, is not there."""


class Fetcher:
    """Reads the revisions in force of some documents, and keeps what it has read last.

    Args:
        session: where to read.
        layouts: of the documents, each once.
        choose: returns the revision that counts.
    """

    def __init__(self, session: Session, layouts: Sequence[Layout], choose: Callable[[Pointer], int]) -> None:
        self._session = session
        self._layouts = list(layouts)
        self._choose = choose
        self._kept: dict[str, Fetched] = {}

    def fetch(self, limits: ReadLimits) -> list[Fetched]:
        """Return the documents, in the order of the layouts.

        Raises:
            UndecodableNode: what is stored is no document.
            ZkDiscoveryError: as `Session.call`.
        """
        before: list[Key] | None = None
        while True:
            pointers = read_pointers(self._session, self._layouts, limits.generation, limits.deadline)
            keys = [self._key(pointer) for pointer in pointers]
            try:
                found = self._take(keys, limits)
            except RevisionMissing:
                if keys == before:  # the pointer has not moved, so the revision was not pruned
                    raise
                before = keys
                continue
            self._kept = {fetched.name: fetched for fetched in found}
            return found

    def _key(self, stored: StoredPointer | None) -> Key:
        if stored is None:
            return 0, 0, NONE
        return stored.stat.czxid, stored.stat.ctime, self._choose(stored.pointer)

    def _take(self, keys: list[Key], limits: ReadLimits) -> list[Fetched]:
        new: list[tuple[Layout, int]] = []
        for layout, key in zip(self._layouts, keys, strict=True):
            kept = self._kept.get(layout.name)
            if key[-1] != NONE and (kept is None or kept.key != key):
                new.append((layout, key[-1]))
        read = read_revisions(self._session, new, self._kept, limits)
        found: list[Fetched] = []
        for layout, key in zip(self._layouts, keys, strict=True):
            if key[-1] == NONE:
                found.append(Fetched(layout.name, NONE, {}))
            else:
                fetched = read.get(layout.name) or self._kept[layout.name]
                found.append(fetched._replace(key=key))
        return found


def read_revisions(
    session: Session, wanted: list[tuple[Layout, int]], kept: Mapping[str, Fetched], limits: ReadLimits
) -> dict[str, Fetched]:
    """Read revisions of different documents, and of their pieces those that are not kept.

    Raises:
        RevisionMissing: one is not there.
        UndecodableNode: what is stored is no document.
        ZkDiscoveryError: as `Session.call`.
    """
    records: dict[Layout, tuple[int, Record]] = {}
    for (layout, number), found in zip(wanted, read_records(session, wanted, limits), strict=True):
        if found is None:
            raise RevisionMissing(f"{layout.revision(number)} is not there", path=layout.revision(number))
        records[layout] = number, found[0]
    pieces: dict[str, bytes] = {}  # by path; empty: to be read
    for layout, (_, record) in records.items():
        known = kept[layout.name].pieces if layout.name in kept else {}
        pieces.update({layout.piece(name): known.get(name, b"") for name in record.pieces})
    missing = [path for path, piece in pieces.items() if not piece]
    for path, node in _read(session, missing, MEAN, limits):
        pieces[path] = _piece(session, path, node)
    read: dict[str, Fetched] = {}
    for layout, (number, record) in records.items():
        own = {name: pieces[layout.piece(name)] for name in record.pieces}
        read[layout.name] = Fetched(layout.name, number, _content(layout, number, record, own), pieces=own)
    return read


def read_records(
    session: Session, wanted: Sequence[tuple[Layout, int]], limits: ReadLimits
) -> list[tuple[Record, Stat] | None]:
    """Read the records of revisions; None for one that is not there.

    Raises:
        UndecodableNode: what is stored is no revision.
        ZkDiscoveryError: as `Session.call`.
    """
    paths = [layout.revision(number) for layout, number in wanted]
    records: list[tuple[Record, Stat] | None] = []
    for path, found in _read(session, paths, INLINE, limits):
        if isinstance(found, Node):
            try:
                records.append((decode_record(found.data), found.stat))
            except UndecodableNode as error:
                raise UndecodableNode(f"{path} can't be used: {error}", path=path) from None
        elif found == NO_NODE:
            records.append(None)
        else:
            raise why_unread(path, found, session.server)
    return records


def list_revisions(session: Session, layout: Layout, generation: int, deadline: float) -> list[int]:
    """Return the numbers of all revisions of a document, the newest first. Raises as `Session.call`."""
    names = list_children(session, layout.revisions, generation, deadline)
    return sorted((int(name) for name in names if name.isdecimal() and name.isascii()), reverse=True)


def list_children(session: Session, path: str, generation: int, deadline: float) -> list[str]:
    """Return the names of the children of a node; none if there is no such node. Raises as `Session.call`."""
    try:
        names: list[str] = session.call(GetChildren(path), deadline=deadline, generation=generation)
    except NodeMissing:
        return []
    return names


def _read(session: Session, paths: Sequence[str], size: int, limits: ReadLimits) -> Iterator[tuple[str, Found]]:
    """Read nodes of about that size, in as few requests as they fit into; in order."""
    found = dict(read_batches(session, [Batch(paths, seen=len(paths), size=size)], limits))
    for path in paths:
        yield path, found[path]


def _piece(session: Session, path: str, found: Found) -> bytes:
    if isinstance(found, Node):
        if name_of_piece(found.data) != path.rpartition("/")[2]:
            raise UndecodableNode(f"{path} holds other bytes than its name says", path=path)
        return found.data
    if found == NO_NODE:
        raise RevisionMissing(f"{path} is not there", path=path)
    raise why_unread(path, found, session.server)


def _content(layout: Layout, number: int, record: Record, pieces: Mapping[str, bytes]) -> Document:
    if record.document is not None:
        return record.document
    path = layout.revision(number)
    try:
        if sum(len(pieces[name]) for name in record.pieces) > LARGEST:  # one piece may be named many times
            raise UndecodableNode(f"the limit is {LARGEST} bytes")
        return decode_document(b"".join([pieces[name] for name in record.pieces]))
    except UndecodableNode as error:
        raise UndecodableNode(f"the pieces of {path} can't be used: {error}", path=path) from None
