"""Pruning: the last `KEPT` revisions of a document stay, and whatever its pointer names.

A piece goes once no revision that stays has it. Each transaction checks the version of the pointer that was read, so a
revision that is written meanwhile loses nothing: it would have moved the pointer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from zkdiscovery.config.fetching import list_children, list_revisions, read_records
from zkdiscovery.config.layout import Layout
from zkdiscovery.config.pointer import Pointer, read_pointers
from zkdiscovery.session import Check, Delete, Multi, ReadLimits, Session, Write

KEPT = 100  # revisions
EVERY = 10  # revisions between two prunings
BATCH = 500  # nodes in one transaction


def is_due(number: int) -> bool:
    """Return whether to prune after this revision."""
    return number > KEPT and number % EVERY == 0


def prune(session: Session, layout: Layout, generation: int, deadline: float) -> None:
    """Delete what no reader and no user of the history needs.

    Raises:
        NodeChanged: another revision was written meanwhile; the next pruning does it.
        UndecodableNode: a revision that stays can't be read, so nobody knows its pieces.
        ZkDiscoveryError: as `Session.call`.
    """
    (stored,) = read_pointers(session, [layout], generation, deadline)
    if stored is None:
        return
    numbers = list_revisions(session, layout, generation, deadline)
    kept = kept_numbers(numbers, stored.pointer)
    doomed = [layout.revision(number) for number in numbers if number not in kept]
    pieces = list_children(session, layout.pieces, generation, deadline)
    if pieces:
        records = read_records(session, [(layout, number) for number in kept], ReadLimits(generation, deadline))
        used = {name for found in records if found is not None for name in found[0].pieces}
        doomed += [layout.piece(name) for name in pieces if name not in used]
    rest = iter(doomed)
    while batch := list(islice(rest, BATCH)):
        writes: list[Write] = [Check(layout.pointer, stored.stat.version), *map(Delete, batch)]
        session.call(Multi(writes), deadline=deadline, generation=generation)


def kept_numbers(numbers: Sequence[int], pointer: Pointer) -> list[int]:
    """Return those that stay."""
    named = {pointer.stable, pointer.candidate}
    return [number for place, number in enumerate(numbers) if place < KEPT or number in named]
