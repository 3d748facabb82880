"""The check of turns at a lock: a turn for writing overlaps no other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from tests.interop.turns import Turn


def overlaps(turns: Iterable[Turn]) -> list[tuple[Turn, Turn]]:
    """Pairs of turns that overlap and must not. Each turn that does is in one pair at least."""
    found = []
    last: Turn | None = None  # to end, of those that began before
    last_write: Turn | None = None
    for turn in sorted(turns, key=lambda turn: turn.begin):
        other = last if turn.kind == "write" else last_write
        if other is not None and turn.begin < other.end:
            found.append((other, turn))
        if last is None or turn.end > last.end:
            last = turn
        if turn.kind == "write" and (last_write is None or turn.end > last_write.end):
            last_write = turn
    return found


def shared(turns: Iterable[Turn]) -> int:
    """How many turns for reading began during another one."""
    count, end = 0, 0
    for turn in sorted(turn for turn in turns if turn.kind == "read"):
        count += turn.begin < end
        end = max(end, turn.end)
    return count


def changes(takers: Sequence[Iterable[Turn]]) -> int:
    """How often a turn was followed by one of another taker."""
    order = [who for _, who in sorted((turn.begin, who) for who, turns in enumerate(takers) for turn in turns)]
    return sum(one != other for one, other in itertools.pairwise(order))
