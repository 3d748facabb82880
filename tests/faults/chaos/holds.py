"""Invariants of holds, whatever they are holds of: who excludes whom, fences, and the limits of semaphores."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from tests.faults.chaos.carry import EXCERPT, FIRST_LIMIT, Carry, HoldSeen, LimitChange, T, Violation
from tests.faults.chaos.history import Event

SHARD = "shard"  # the kind of a shard
ALONE = frozenset({"term", "lock", "write", SHARD})  # kinds of holds that exclude all others of their queue
READ, LEASE = "read", "lease"  # kinds that several have at once

ASKED = "asked"  # what a change of a limit begins with, whatever comes of it
FORGOTTEN = "forgotten"  # how a process finds a semaphore whose limit was stored before, and is no more
FROM_OUTSIDE = "deleted from outside"  # part of the reason of a hold whose node somebody else has deleted


def excludes(one: HoldSeen, other: HoldSeen) -> bool:
    """Return whether two holds of one queue must not be valid at one time."""
    return one.kind in ALONE or other.kind in ALONE


def note_holds(events: Iterable[Event], carry: Carry) -> Iterator[Violation]:
    """Note what processes say of their holds. Each hold begins once and has a fence of its own."""
    for event in events:
        if event["ev"] == "hold":
            fence = event["fence"]
            if fence in carry.holds:
                yield Violation("fences differ", f"two holds have the fence {fence}: {carry.holds[fence]}", (event,))
            begin = event["begin"]
            asked = event.get("asked", begin)
            carry.holds[fence] = HoldSeen(event["who"], event["kind"], event["of"], fence, asked, begin, begin)
        elif event["ev"] == "valid":
            hold = carry.holds.get(event["fence"])
            if hold is None:
                yield Violation("holds begin once", "a hold that never began is valid", (event,))
                continue
            hold.last = max(hold.last, event["to"])
            hold.over = event["over"]


def note_limits(events: Iterable[Event], carry: Carry) -> Iterator[Violation]:
    """Note which limits were stored. A limit that was stored is never forgotten."""
    changes = {(change.of, change.begin): change for change in carry.limits}
    for event in events:
        if event["ev"] != "limit":
            continue
        of, begin, result = event["of"], event["begin"], event["result"]
        if result == FORGOTTEN:
            yield Violation("a limit is never forgotten", f"{event['who']}: {of} has no limit, and had one", (event,))
        elif result == "ok":
            changes[of, begin] = LimitChange(of, begin, event["end"], event["number"], sure=True)
        elif result == ASKED:  # a process that is killed says no more; a request may arrive after it was given up
            changes[of, begin] = LimitChange(of, begin, math.inf, event["number"], sure=False)
    carry.limits = sorted(changes.values(), key=lambda change: change.begin)


def check_holds(events: list[Event], carry: Carry) -> Iterator[Violation]:
    """Holds that exclude each other are never valid at one instant, and their fences grow with their begin.

    What is found wrong with a pair of holds is noted in `carry`, and not told again.
    """
    for of, holds in _by_queue(carry).items():
        valid: list[HoldSeen] = []
        highest: dict[str, HoldSeen] = {}  # by kind, the one with the largest fence so far
        for hold in sorted(holds, key=lambda hold: hold.begin):
            valid = [other for other in valid if other.last >= hold.begin]
            for other in valid:
                if excludes(hold, other):
                    until = min(hold.last, other.last)
                    text = f"{of}: two valid holds for {until - hold.begin:.3f} s"
                    yield from _tell(_exclusion(hold, other), text, (hold, other), events, carry)
            for other in highest.values():
                if excludes(hold, other) and hold.fence < other.fence:
                    text = f"{of}: what began later has the smaller fence"
                    yield from _tell("fences grow", text, (hold, other), events, carry)
            valid.append(hold)
            if hold.kind not in highest or hold.fence > highest[hold.kind].fence:
                highest[hold.kind] = hold


def check_ends(events: list[Event], carry: Carry) -> Iterator[Violation]:
    """The node of a hold is deleted by an operator, or with a session that was ended by force, and by nobody else."""
    for event in events:
        if event["ev"] != "valid" or FROM_OUTSIDE not in (event["over"] or ""):
            continue
        hold = carry.holds.get(event["fence"])
        if hold is not None and not carry.beyond_leases(hold.fence, event["t"]):
            text = f"{hold.of}: no operator deleted the node of this hold"
            yield from _tell("nobody deletes the node of a hold", text, (hold,), events, carry)


def check_limits(events: list[Event], carry: Carry) -> Iterator[Violation]:
    """Never more valid holds of a semaphore than the limit in force when the newest of them was acquired.

    Lowering a limit ends no holds. The nodes of all holds with a smaller fence that were still valid when another one
    began stood before it when it was acquired. That was between `asked` and `begin`.
    """
    for of, holds in _by_queue(carry).items():
        leases = sorted((hold for hold in holds if hold.kind == LEASE), key=lambda hold: hold.fence)
        for place, hold in enumerate(leases):
            before = [o for o in leases[:place] if o.last >= hold.begin and not carry.beyond_leases(o.fence)]
            limit = most_in_force(carry.limits, of, hold.asked, hold.begin)
            if len(before) >= limit:
                text = f"{of}: {len(before) + 1} valid holds, and the limit was {limit}"
                yield from _tell("never more holds than the limit", text, (hold, *before), events, carry)


def most_in_force(changes: Iterable[LimitChange], of: str, begin: float, end: float) -> int:
    """Return the largest limit of a semaphore that may have been in force at some time between two stamps."""
    ours = [LimitChange(of, -math.inf, -math.inf, FIRST_LIMIT, sure=True), *(c for c in changes if c.of == of)]
    return max(change.number for change in ours if change.begin <= end and change.until(ours) >= begin)


def together(holds: Iterable[HoldSeen], fences: Collection[int], kind: str) -> int:
    """Return how many holds of a kind that several have at once, of these fences, began beside another one."""
    queues: dict[str, list[HoldSeen]] = defaultdict(list)
    for hold in holds:
        if hold.kind == kind:
            queues[hold.of].append(hold)
    return sum(
        any(other is not hold and other.begin <= hold.begin <= other.last for other in queue)
        for queue in queues.values()
        for hold in queue
        if hold.fence in fences
    )


def _by_queue(carry: Carry) -> dict[str, list[HoldSeen]]:
    queues: dict[str, list[HoldSeen]] = defaultdict(list)
    for hold in carry.holds.values():
        queues[hold.of].append(hold)
    return queues


def _exclusion(one: HoldSeen, other: HoldSeen) -> str:
    kinds = {one.kind, other.kind}
    if kinds == {"term"}:
        return "one leader at a time"
    if kinds == {SHARD}:
        return "one owner of a shard at a time"
    return "no reader beside a writer" if READ in kinds else "one holder at a time"


def _tell(
    invariant: str, text: str, holds: tuple[HoldSeen, ...], events: list[Event], carry: Carry
) -> Iterator[Violation]:
    """Tell it once, unless the earliest in the queue is beyond any lease."""
    fences = [hold.fence for hold in holds]
    first, last = min(fences), max(fences)
    key = invariant, first, last
    if key in carry.told or carry.beyond_leases(first):
        return
    carry.told.add(key)
    yield Violation(invariant, f"{text}: {'; '.join(map(str, holds))}", _excerpt(events, holds))


def _excerpt(events: list[Event], holds: Collection[HoldSeen]) -> tuple[Event, ...]:
    """What befell the holders, and the faults, in the time from two session timeouts before to the end."""
    newest = max(hold.begin for hold in holds)
    begin, end = newest - 2 * T, max(newest, min(hold.last for hold in holds))
    whos = {hold.who for hold in holds}

    def shows(event: Event) -> bool:
        if event["ev"] in {"fault", "stopped", "exempt", "limit"}:
            since: float = event["begin"] if "begin" in event else event["t"]
            return since <= end and begin <= float(event["t"])
        telling = event["ev"] in {"session", "forced", "hold"} or bool(event.get("over"))
        return telling and event["who"] in whos and begin <= event["t"] <= end

    return tuple(filter(shows, events))[:EXCERPT]
