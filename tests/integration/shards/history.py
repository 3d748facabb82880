"""What processes wrote about their shards, and what must hold of it.

Each line is a look at a hold: when, and until when it lasted at that moment if nothing was renewed. A hold counts from
its first look to its last; one whose consumer has ended in time counts to that end, and any other one to the deadline
that was seen last.
"""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple


class Held(NamedTuple):
    """The time during which a process held a shard, in seconds of the lease clock."""

    begin: float
    end: float
    pid: int
    fence: int


def read_history(path: Path) -> dict[int, list[Held]]:
    """The holds of each shard, in the order of their beginnings."""
    looks: dict[tuple[int, int], list[dict[str, float]]] = defaultdict(list)
    for line in path.read_text().splitlines():
        look = json.loads(line)
        looks[look["shard"], look["fence"]].append(look)
    holds: dict[int, list[Held]] = defaultdict(list)
    for (shard, fence), seen in looks.items():
        valid = [look for look in seen if not look["lost"]]
        if not valid:
            continue
        last = max(valid, key=lambda look: look["at"])
        end = last["at"] if last["what"] == "end" else max(look["until"] for look in valid)
        holds[shard].append(Held(min(look["at"] for look in valid), end, int(seen[0]["pid"]), fence))
    return {shard: sorted(each) for shard, each in sorted(holds.items())}


def check_never_twice(history: dict[int, list[Held]]) -> None:
    """No shard was held by two at once, and its fences grew."""
    for shard, holds in history.items():
        for earlier, later in pairwise(holds):
            assert earlier.end <= later.begin, f"shard {shard} was held twice: {earlier}, {later}"
            assert earlier.fence < later.fence, f"the fences of shard {shard} do not grow: {earlier}, {later}"


def gaps(history: dict[int, list[Held]]) -> dict[int, list[float]]:
    """The times without an owner between two holds of each shard, in seconds."""
    return {
        shard: [later.begin - earlier.end for earlier, later in pairwise(holds)] for shard, holds in history.items()
    }


def pids(history: dict[int, list[Held]]) -> dict[int, list[int]]:
    """The processes that held each shard, in order."""
    return {shard: [held.pid for held in holds] for shard, holds in history.items()}
