"""The assignment of shards to members: a pure function of the assignment before and of the members now.

The load of a member is the number of its shards, divided by its weight.

Guarantees
- Every shard has a member if there is one.
- A shard moves only because its member left, or to a member that joined.
- One that joins takes at most its quota, rounded up: `ceil(count / members)` if all weights are the same.
- Equal arguments give equal results, in whatever order the members come.
- The loads are as even as whole shards permit if they were so before: no member could take over a shard of another one
  and have less load than that one had. This keeps the largest load as small as it can be (the method of D'Hondt).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Mapping


def assign(
    count: int, before: Mapping[str, Collection[int]], weights: Mapping[str, float]
) -> dict[str, tuple[int, ...]]:
    """Assign the shards 0 to `count` - 1.

    Args:
        count: number of shards.
        before: the shards of each member until now.
        weights: of each member from now on, above 0.

    Returns:
        the shards of each member, ascending; of members without shards, too.
    """
    held: dict[str, list[int]] = {member: [] for member in sorted(weights)}
    vacant = dict.fromkeys(range(count))
    for member in sorted(before):
        for shard in sorted(before[member]):
            if member in held and shard in vacant:
                del vacant[shard]
                held[member].append(shard)
    if not held:
        return {}
    _fill(held, vacant, weights)
    _give(held, [member for member in held if member not in before], count, weights)
    return {member: tuple(sorted(shards)) for member, shards in held.items()}


def _fill(held: dict[str, list[int]], vacant: Collection[int], weights: Mapping[str, float]) -> None:
    """Give each vacant shard to the member that has the least load with it."""
    heap = [((len(shards) + 1) / weights[member], member) for member, shards in held.items()]
    heapq.heapify(heap)
    for shard in vacant:
        member = heap[0][1]
        held[member].append(shard)
        heapq.heapreplace(heap, ((len(held[member]) + 1) / weights[member], member))


def _give(held: dict[str, list[int]], joiners: Collection[str], count: int, weights: Mapping[str, float]) -> None:
    """Let those that joined take one shard after another from the most loaded, while that makes the loads more even."""
    total = sum(weights.values())
    quotas = {member: math.ceil(count * weights[member] / total) for member in joiners}
    while hungry := [member for member in joiners if len(held[member]) < quotas[member]]:
        load, joiner = min(((len(held[member]) + 1) / weights[member], member) for member in hungry)
        most, donor = max((len(shards) / weights[member], member) for member, shards in held.items())
        if load >= most:
            return
        held[joiner].append(held[donor].pop())
