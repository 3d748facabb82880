"""One commit: new revisions of one or more documents, in one transaction.

Guarantees
- The pieces are written first. The transaction creates the revisions, moves the pointers by the versions that were
  read, and checks that each piece is there. So no pointer ever names a revision that can't be read in full.
- A commit whose answer was lost is looked for, by the nonce of its revisions, before it is tried again. So none is made
  twice. If nobody can tell whether it was made, the error has `outcome_unknown`.
- An edit of a certain revision is refused once there is a newer one.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from zkdiscovery.config.fetching import NONE, list_revisions, read_records
from zkdiscovery.config.layout import Layout
from zkdiscovery.config.pointer import Pointer, StoredPointer, encode_pointer, read_pointers
from zkdiscovery.config.revisions import Author, make_record
from zkdiscovery.errors import NodeChanged, NodeExists, NodeMissing, OperationTimeout, ZkDiscoveryError
from zkdiscovery.session import Check, Create, GetChildren, Multi, ReadLimits, Session, SetData, Sync, Write
from zkdiscovery.znodes import BaseHold, execute_writes, make_container

_StoredRecord = tuple[bytes, dict[str, bytes]]  # the data of a revision's node, and the pieces of the document by name

PAUSE = 0.02  # seconds after another writer was faster, at most


@dataclass(frozen=True, slots=True)
class Edit:
    """A new revision of one document.

    Attributes:
        layout: of the document.
        data: the document, as bytes.
        message: why.
        base: the revision that it was made from; 0: there was no document; None: whatever is there.
        restores: the revision that it has the content of; None: it is no rollback.
        encrypt: returns the document with its new encrypted values, for the number of the revision; None: `data`.
        in_force: False: the pointer stays where it is, for a rollout.
    """

    layout: Layout
    data: bytes = field(repr=False)
    message: str
    base: int | None = None
    restores: int | None = None
    encrypt: Callable[[int], bytes] | None = field(default=None, repr=False)
    in_force: bool = True

    def data_of(self, number: int) -> bytes:
        """Return the document as bytes, for the revision that it becomes."""
        return self.data if self.encrypt is None else self.encrypt(number)


class Commit:
    """One commit, which may take several tries.

    Attributes:
        in_doubt: True while nobody knows whether it was made.
    """

    def __init__(self, session: Session, edits: Sequence[Edit], author: Author, guard: BaseHold | None) -> None:
        self._session = session
        self._edits = edits
        self._layouts = [edit.layout for edit in edits]
        self._guard = guard
        self._author = author
        self._nonce = secrets.token_hex(8)
        self._tried: list[int] | None = None  # the numbers of revisions that may have been made
        self.in_doubt = False

    @property
    def title(self) -> str:
        """Names the documents, in messages."""
        return " and ".join(layout.title for layout in self._layouts)

    def once(self, deadline: float, generation: int) -> list[int]:
        """Commit on one connection; return the numbers of the revisions."""
        while True:
            pointers = self._read(generation, deadline)
            if self._tried is not None and self._find(self._tried, pointers, generation, deadline):
                return self._tried
            numbers = self._numbers(pointers, generation, deadline)
            records = [self._record(edit, number) for edit, number in zip(self._edits, numbers, strict=True)]
            for layout, (_, pieces) in zip(self._layouts, records, strict=True):
                store_pieces(self._session, layout, pieces, generation, deadline)
            if self._move(pointers, numbers, records, generation, deadline):
                return numbers
            if time.monotonic() + PAUSE >= deadline:
                raise OperationTimeout(f"{self.title} was not written in time: others wrote it at each try")
            self._session.closing.wait(random.uniform(0.0, PAUSE))

    def _record(self, edit: Edit, number: int) -> _StoredRecord:
        return make_record(edit.data_of(number), edit.message, self._author, self._nonce, edit.restores)

    def _move(
        self,
        pointers: Sequence[StoredPointer | None],
        numbers: list[int],
        records: Sequence[_StoredRecord],
        generation: int,
        deadline: float,
    ) -> bool:
        """Create the revisions and move the pointers. False if ZooKeeper is not as it was read."""
        session = self._session
        writes = self._writes(pointers, numbers, records)
        try:
            execute_writes(session, writes, guard=self._guard, generation=generation, deadline=deadline)
        except (NodeChanged, NodeExists):  # another writer was faster
            return False
        except NodeMissing:  # the parents of a new document, or a piece that was pruned in this moment
            for layout in self._layouts:
                make_container(session, layout.revisions, generation=generation, deadline=deadline)
            return False
        except ZkDiscoveryError as error:
            if error.outcome_unknown:
                self._tried, self.in_doubt = numbers, True
            raise
        return True

    def doubtful(self, error: ZkDiscoveryError) -> ZkDiscoveryError:
        """Make an error that tells that the commit may have been made."""
        return type(error)(
            f"{error}; the new revision of {self.title} may have been stored",
            path=error.path, server=error.server, outcome_unknown=True,
        )  # fmt: skip

    def _read(self, generation: int, deadline: float) -> list[StoredPointer | None]:
        """Read the pointers after all that was written before."""
        request = Sync(self._layouts[0].root)
        synced = self._session.submit(request, deadline=deadline, generation=generation)
        pointers = read_pointers(self._session, self._layouts, generation, deadline)
        self._session.result(synced, request, deadline)
        return pointers

    def _find(
        self, tried: list[int], pointers: Sequence[StoredPointer | None], generation: int, deadline: float
    ) -> bool:
        """Tell whether an earlier try was executed. One that was not by now never is."""
        layout, number, stored = self._layouts[0], tried[0], pointers[0]
        (found,) = read_records(self._session, [(layout, number)], ReadLimits(generation, deadline))
        if found is None and stored is not None and stored.pointer.last >= number:
            raise OperationTimeout(
                f"the answer to a write of {layout.title} was lost, and so many revisions have followed that nobody can"
                f" tell whether revision {number} was ours", path=layout.revision(number), outcome_unknown=True,
            )  # fmt: skip
        self._tried, self.in_doubt = None, False
        if found is None or found[0].nonce != self._nonce:
            return False
        self._tried = tried
        return True

    def _numbers(self, pointers: Sequence[StoredPointer | None], generation: int, deadline: float) -> list[int]:
        """Return the numbers of the new revisions."""
        numbers: list[int] = []
        for edit, stored in zip(self._edits, pointers, strict=True):
            present = NONE if stored is None else stored.pointer.stable
            if edit.base is not None and edit.base != present:
                raise conflict(edit.layout, edit.base, present)
            if stored is not None:
                last = max(stored.pointer.last, present)
            else:  # whoever deletes a pointer leaves the revisions
                last = max(list_revisions(self._session, edit.layout, generation, deadline), default=NONE)
            numbers.append(last + 1)
        return numbers

    def _writes(
        self,
        pointers: Sequence[StoredPointer | None],
        numbers: Sequence[int],
        records: Sequence[_StoredRecord],
    ) -> list[Write]:
        acl = self._session.parent_acl
        writes: list[Write] = []
        for edit, stored, number, (data, pieces) in zip(self._edits, pointers, numbers, records, strict=True):
            layout = edit.layout
            writes += [Check(layout.piece(name)) for name in pieces]
            writes.append(Create(layout.revision(number), data, acl))
            if stored is None:
                pointer = Pointer(number if edit.in_force else NONE, last=number)
                writes.append(Create(layout.pointer, encode_pointer(pointer), acl))
            else:
                before = stored.pointer
                pointer = before.moved_to(number) if edit.in_force else before._replace(last=number)
                writes.append(SetData(layout.pointer, encode_pointer(pointer), stored.stat.version))
        return writes


def conflict(layout: Layout, base: int, present: int) -> NodeChanged:
    """Make the error for an edit of a revision that is not in force any more."""
    return NodeChanged(
        f"{layout.title} is at revision {present}, and not at {base}: nothing was stored. Read it again and edit that",
        path=layout.pointer,
    )


def store_pieces(
    session: Session, layout: Layout, pieces: Mapping[str, bytes], generation: int, deadline: float
) -> None:
    """Create the pieces that are not there yet, in transactions of as many as fit. It may be repeated.

    Raises:
        ZkDiscoveryError: as `Session.call`.
    """
    while pieces:
        try:
            there = set(session.call(GetChildren(layout.pieces), deadline=deadline, generation=generation))
            missing = {name: piece for name, piece in pieces.items() if name not in there}
            for batch in _batches(layout, missing, session):
                session.call(Multi(batch), deadline=deadline, generation=generation)
        except NodeExists:
            continue  # by another writer in the same moment
        except NodeMissing:
            make_container(session, layout.pieces, generation=generation, deadline=deadline)
            continue
        return


def _batches(layout: Layout, pieces: Mapping[str, bytes], session: Session) -> list[list[Create]]:
    most = session.care.most_bytes(Multi)
    batches: list[list[Create]] = []
    room = 0
    for name, piece in pieces.items():
        if room < len(piece):
            batches.append([])
            room = most
        room -= len(piece)
        batches[-1].append(Create(layout.piece(name), piece, session.parent_acl))
    return batches
