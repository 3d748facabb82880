"""Invariants over the history of a round: each a pure function that gives violations, with the part that shows them.

What a round leaves for the next ones to be checked against is `Carry`; nothing else is remembered, so a run may go on
for as long as it likes. Times are monotonic seconds of one machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.faults.chaos.carry import Carry, Span, T, Violation
from tests.faults.chaos.history import Event
from tests.faults.chaos.holds import check_ends, check_holds, check_limits, note_holds, note_limits
from tests.faults.chaos.machine import MACHINE
from zkdiscovery.shards.assigner import MERGE

TICK = 0.5  # seconds, the ensemble's

# How late a call may end, beside its limit: two cores run about fifteen processes, so a thread may have to wait.
ALLOWANCE = 1.0  # seconds
# What is checked just before a write may be over when the write arrives, if the process did not run in between. A
# stop by the scheduler is no other than one by a signal.
STALL = 0.05  # seconds
# After a session was ended by force, its holds may go on until the client hears of it.
FORCED = T  # seconds

# Bounds of settling after the end of the last fault, in seconds.
# A link that was silent is noticed within T/3 + T/12; an attempt to connect may take up to T; what a dead process left
# vanishes T and two ticks after the ensemble heard of it last; then the successor acts.
RECONNECT = T / 3 + T / 12 + T
EXPIRY = T + 2 * TICK
NOISE = 3.0  # seconds for a busy machine
START = 90.0  # until ten processes have begun, on two busy cores
SETTLED = RECONNECT + EXPIRY + NOISE
BOUNDS = {
    "reports": SETTLED,  # an act under way: two writes of 2 s, a deregistration of 5 s, or a wait for a lock
    "registrations": SETTLED,
    "twins": SETTLED,
    "unwanted": SETTLED,
    "caches": SETTLED,
    "leaders": SETTLED,
    "waiters": SETTLED,  # one after the other, because each holder leaves at once
    "orphans": SETTLED,
    "shards": SETTLED + 2 * MERGE,  # a table without those that are gone, then one with those that are back
}


def check_round(events: list[Event], carry: Carry) -> tuple[list[Violation], Carry]:
    """All invariants over the events of one round, given what came before; `carry` itself is left as it was."""
    after = carry.copy()
    violations = [*note_holds(events, after), *note_limits(events, after)]
    _note_faults(events, after)
    violations += check_holds(events, after)
    violations += check_limits(events, after)
    violations += check_ends(events, after)
    violations += check_store(_of(events, "write"), after)
    violations += check_calls(_of(events, "call"), after.stops)
    violations += check_observers(_of(events, "seen"), after)
    violations += check_settling(_of(events, "settle"))
    violations += [
        Violation("no thread of a worker fails", event["error"], (event,)) for event in _of(events, "defect")
    ]
    if events:
        after.forget(events)
    return violations, after


def _of(events: Iterable[Event], what: str) -> list[Event]:
    return [event for event in events if event["ev"] == what]


def _note_faults(events: list[Event], carry: Carry) -> None:
    begun: dict[str, float] = {}
    for event in events:
        if event["ev"] == "exempt":
            carry.exempt.add(event["fence"])
        elif event["ev"] == "stopped":
            carry.stops.append(Span(event["whom"], event["begin"], event["end"]))
        elif event["ev"] == "forced" and event["done"]:
            carry.forced.append(Span(event["who"], begun.pop(event["who"], event["t"]), event["t"] + FORCED))
        elif event["ev"] == "forced":
            begun[event["who"]] = event["t"]
    carry.forced += [Span(who, begin, begin + 2 * FORCED) for who, begin in begun.items()]  # killed in between


def check_store(writes: list[Event], carry: Carry) -> Iterator[Violation]:
    """The store accepted nothing out of order, and what it refused came from a holder that could not know."""
    for event in writes:
        of, fence = event["of"], event["fence"]
        largest = carry.accepted.get(of, 0)
        if event["accepted"]:
            if fence < largest:
                yield Violation("accepted writes are in order", f"{of}: {fence} after {largest}", (event,))
            carry.accepted[of] = max(largest, fence)
            continue
        held_up = event["t"] - event["checked"] > STALL
        stopped = any(s.who == event["by"] and s.overlap(event["checked"], event["t"]) > 0 for s in carry.stops)
        if not (held_up or stopped or carry.beyond_leases(fence)):
            text = f"{of}: {event['by']} wrote with {fence} after {largest}, and had not been stopped"
            yield Violation("a refused write is explained", text, (event,))


def overtime(call: Event, stops: list[Span]) -> float:
    """Seconds that a call took beyond its limit, without those in which its process or the machine stood still."""
    begin: float = call["begin"]
    end: float = call["end"]
    stopped = sum(span.overlap(begin, end) for span in stops if span.who in {call["who"], MACHINE})
    limit: float = call["limit"]
    return end - begin - stopped - limit


def check_calls(calls: list[Event], stops: list[Span]) -> Iterator[Violation]:
    """No call outlives its limit by more than `ALLOWANCE`, the time deducted in which it was stopped."""
    for event in calls:
        late = overtime(event, stops)
        if late > ALLOWANCE:
            text = f"{event['who']}: {event['name']} took {late:.2f} s longer than its limit of {event['limit']} s"
            yield Violation("no call outlives its limit", text, (event,))


def check_observers(seen: list[Event], carry: Carry) -> Iterator[Violation]:
    """For one observer, what one owner wrote of an instance never goes back.

    That is its (life, number of the registration, number of the update). Twins may take turns, so each owner counts
    for itself. The version of a cache grows with each snapshot.
    """
    for event in seen:
        view = (event["who"], event["service"])
        if event["version"] <= carry.versions.get(view, 0):
            known = carry.versions[view]
            yield Violation("snapshots go on", f"version {event['version']} after {known}", (event,))
        carry.versions[view] = event["version"]
        for name, instance in event["delta"].items():
            if instance is None or not instance["by"]:
                continue
            key = (*view, name, instance["by"])
            stamp = (instance["life"], instance["nonce"], instance["seq"])
            before = carry.seen.get(key, (0, 0, 0))
            if stamp < before:
                text = f"{event['who']} saw {event['service']}/{name} at {stamp} after {before}"
                yield Violation("nothing seen goes back", text, (event,))
            carry.seen[key] = stamp


def check_settling(settles: list[Event]) -> Iterator[Violation]:
    """After healing, all is as it should be within its bound."""
    for event in settles:
        for category, took in event["took"].items():
            bound = BOUNDS[category] if event["round"] else START
            if took is None or took > bound:
                when = "never" if took is None else f"after {took:.1f} s"
                problems = "\n      ".join(event["problems"].get(category, [])[:12])
                text = f"{category} settled {when}, the bound is {bound:.1f} s\n      {problems}"
                yield Violation("all settles", text)
