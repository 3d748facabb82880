"""Writes that ZooKeeper executes only while a hold lasts.

A guarded write is a transaction that begins with a check of the holder's node. The name of that node has a uuid, so no
other node ever has its path. Once the node is gone ZooKeeper refuses the write, whatever the clock of this process
says, and however long the write was under way. A lease may end before ZooKeeper removes the node. Nobody else holds
anything until then, so ZooKeeper still executes the write.
"""

from __future__ import annotations

from collections.abc import Sequence

from zkdiscovery.errors import NodeMissing, ZkDiscoveryError
from zkdiscovery.session import Multi, Session, Stat, Write
from zkdiscovery.znodes.hold import BaseHold


def execute_writes(
    session: Session, writes: Sequence[Write], *, guard: BaseHold | None, generation: int, deadline: float
) -> list[Stat | None]:
    """Execute all of the writes or none of them, in one transaction.

    Args:
        session: whose connection to use.
        writes: what to write.
        guard: ZooKeeper executes them only while this hold lasts; None: in any case.
        generation: number of the connection.
        deadline: monotonic seconds.

    Returns:
        one result for each write, as of a `Multi`.

    Raises:
        HoldLost: the hold is over, and nothing was written.
        ZkDiscoveryError: as `Session.call`; `operation_index` is the place in `writes`.
    """
    request = guarded(writes, guard)
    try:
        answer = session.call(request, deadline=deadline, generation=generation)
    except ZkDiscoveryError as error:
        if (refused := refusal(error, guard)) is not error:
            raise refused from error
        raise
    return results(answer, guard)


def guarded(writes: Sequence[Write], guard: BaseHold | None) -> Multi:
    """Return the transaction that executes the writes while the hold lasts; without a guard, in any case.

    Raises:
        HoldLost: this process has released the hold, or the hold is that of the parent process.
    """
    return Multi(writes if guard is None else [guard.condition(), *writes])


def results(answer: list[Stat | None], guard: BaseHold | None) -> list[Stat | None]:
    """Return one result for each write of a `guarded` transaction."""
    return answer if guard is None else answer[1:]


def refusal(error: ZkDiscoveryError, guard: BaseHold | None) -> ZkDiscoveryError:
    """Return the error of a `guarded` transaction, whose `operation_index` is the place in its writes."""
    index = error.operation_index
    if guard is not None and index is not None:
        if index == 0 and isinstance(error, NodeMissing):
            return guard.ended("its node is gone, so ZooKeeper refused the write")
        error.operation_index = index - 1 if index else None
    return error
