"""Writes to many nodes in few transactions, in which no node suffers for another."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from zkdiscovery.errors import (
    HoldLost,
    NodeChanged,
    NodeExists,
    NodeMissing,
    ZkDiscoveryError,
)
from zkdiscovery.session import BROKEN, Create, Multi, Session, SetData, Stat, Write
from zkdiscovery.znodes.guarded import guarded, refusal, results
from zkdiscovery.znodes.hold import BaseHold

K = TypeVar("K")
Outcome = list[Stat | None] | ZkDiscoveryError  # the results of the writes of one key, as of a `Multi`; or why none

BATCH = 500  # nodes in one transaction

SURPRISES = (NodeMissing, NodeExists, NodeChanged)  # the node is not as it was believed to be


def transact(
    session: Session,
    plan: Mapping[K, Sequence[Write]],
    *,
    singly: bool,
    generation: int,
    guard: BaseHold | None = None,
) -> Iterator[tuple[K, Outcome]]:
    """Write what is planned for each key, all of it or nothing; a transaction holds as many keys as fit.

    A transaction that ZooKeeper refuses is taken apart, so that only the keys at fault fail. One that fails with one of
    `SURPRISES` fails for all of its keys: the caller must look what exists, and plan again.

    Args:
        session: whose connection to use.
        plan: the writes for each key.
        singly: True: each key has a transaction of its own, whose surprises can't fail the others.
        generation: number of the connection.
        guard: ZooKeeper executes each transaction only while this hold lasts; None: in any case.

    Yields:
        each key with its outcome, as the answers come; NotConnected, OperationTimeout and HoldLost are outcomes, too.
        It never raises.
    """
    batches = _batches(plan, 1 if singly else BATCH, session.care.most_bytes(Multi))
    for batch, outcome in _send(session, batches, generation, guard):
        if isinstance(outcome, list):
            answers = iter(outcome)
            for key, writes in batch.items():
                yield key, list(islice(answers, len(writes)))
        elif len(batch) == 1 or isinstance(outcome, (*BROKEN, *SURPRISES, HoldLost)):
            for key in batch:
                yield key, outcome
        else:
            yield from transact(session, batch, singly=True, generation=generation, guard=guard)


def _batches(plan: Mapping[K, Sequence[Write]], most: int, most_bytes: int) -> Iterator[dict[K, Sequence[Write]]]:
    batch: dict[K, Sequence[Write]] = {}
    size = 0
    for key, writes in plan.items():
        length = sum(map(_size, writes))
        if batch and (len(batch) >= most or size + length > most_bytes):
            yield batch
            batch, size = {}, 0
        batch[key] = writes
        size += length
    if batch:
        yield batch


def _size(write: Write) -> int:
    """Return the bytes of a write in a request, or somewhat more."""
    length = 4 * len(write.path) + 64
    if isinstance(write, (Create, SetData)):
        length += len(write.data)
    if isinstance(write, Create):
        length += sum(4 * (len(entry.scheme) + len(entry.id)) + 16 for entry in write.acl)
    return length


def _send(
    session: Session, batches: Iterator[dict[K, Sequence[Write]]], generation: int, guard: BaseHold | None
) -> Iterator[tuple[dict[K, Sequence[Write]], Outcome]]:
    """Send all before waiting for the first answer."""
    deadline = time.monotonic() + session.settings.operation_timeout
    flying = []
    for batch in batches:
        try:
            request = guarded([write for writes in batch.values() for write in writes], guard)
        except HoldLost as error:  # released meanwhile
            yield batch, error
            continue
        flying.append((batch, request, session.submit(request, deadline=deadline, generation=generation)))
    for batch, request, future in flying:
        try:
            outcome: Outcome = results(session.result(future, request, deadline), guard)
        except ZkDiscoveryError as error:
            outcome = refusal(error, guard)
        yield batch, outcome
