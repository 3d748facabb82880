"""Invariants over the history of a round: each a pure function that gives violations, with the part that shows them.

What a round leaves for the next ones to be checked against is `Carry`; nothing else is remembered, so a run may go on
for as long as it likes. Times are monotonic seconds of one machine.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.faults.chaos.history import Event
from tests.faults.chaos.machine import MACHINE

T = 4.0  # seconds, session timeout of the workers
TICK = 0.5  # seconds, the ensemble's

# How late a call may end, beside its limit: two cores run about fifteen processes, so a thread may have to wait.
ALLOWANCE = 1.0  # seconds
# What is checked just before a write may be over when the write arrives, if the process did not run in between. A
# stop by the scheduler is no other than one by a signal.
STALL = 0.05  # seconds
# After a session was ended by force, its terms may go on until the client hears of it.
FORCED = T  # seconds

# Bounds of settling after the end of the last fault, in seconds.
# A link that was silent is noticed within T/3 + T/12; an attempt to connect may take up to T; what a dead process left
# vanishes T and two ticks after the ensemble heard of it last; then the successor acts.
RECONNECT = T / 3 + T / 12 + T
EXPIRY = T + 2 * TICK
NOISE = 3.0  # seconds for a busy machine
EXCERPT = 25  # events that are shown with a violation
START = 60.0  # until ten processes have begun, on two cores
BOUNDS = {
    "reports": 12.0,  # an act under way ends within its limits: two writes of 2 s, and a deregistration of 5 s
    "registrations": RECONNECT + EXPIRY + NOISE,
    "twins": RECONNECT + EXPIRY + NOISE,
    "unwanted": RECONNECT + EXPIRY + NOISE,
    "caches": RECONNECT + EXPIRY + NOISE,
    "leaders": RECONNECT + EXPIRY + NOISE,
}


class Violation(NamedTuple):
    """An invariant that does not hold.

    Attributes:
        invariant: its name.
        text: what is wrong.
        excerpt: events that show it.
    """

    invariant: str
    text: str
    excerpt: tuple[Event, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.invariant}: {self.text}", *(f"    {json.dumps(event)}" for event in self.excerpt)]
        return "\n".join(lines)


@dataclass(slots=True)
class TermSeen:
    """A term, as its process proved it: valid from `begin` to `last`, at least."""

    who: str
    election: str
    fence: int
    begin: float
    last: float
    over: str | None = None

    def __str__(self) -> str:
        return f"{self.who} fence {self.fence} valid {self.begin:.3f}…{self.last:.3f} ({self.over or 'not over'})"


class Span(NamedTuple):
    """Some time of a process."""

    who: str
    begin: float
    end: float

    def overlap(self, begin: float, end: float) -> float:
        """Seconds that it has in common with another span."""
        return max(0.0, min(self.end, end) - max(self.begin, begin))


@dataclass(slots=True)
class Carry:
    """What later rounds are checked against."""

    terms: dict[int, TermSeen] = field(default_factory=dict)  # by fence, those that may still matter
    exempt: set[int] = field(default_factory=set)  # fences of candidates that were deleted from outside
    forced: list[Span] = field(default_factory=list)  # sessions ended by force
    stops: list[Span] = field(default_factory=list)  # processes stopped by a signal
    accepted: dict[str, int] = field(default_factory=dict)  # largest fence in the store, by election
    seen: dict[tuple[str, str, str, str], tuple[int, int, int]] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    told: set[tuple[int, int]] = field(default_factory=set)  # pairs of terms that were found to be wrong


def check_round(events: list[Event], carry: Carry) -> tuple[list[Violation], Carry]:
    """All invariants over the events of one round, given what came before; `carry` itself is left as it was."""
    after = Carry(
        terms={fence: dataclasses.replace(term) for fence, term in carry.terms.items()},
        exempt=set(carry.exempt),
        forced=list(carry.forced),
        stops=list(carry.stops),
        accepted=dict(carry.accepted),
        seen=dict(carry.seen),
        versions=dict(carry.versions),
        told=set(carry.told),
    )
    violations = list(_note_terms(events, after))
    _note_faults(events, after)
    violations += check_terms(events, after)
    violations += check_store(_of(events, "write"), after)
    violations += check_calls(_of(events, "call"), after.stops)
    violations += check_observers(_of(events, "seen"), after)
    violations += check_settling(_of(events, "settle"))
    violations += [
        Violation("no thread of a worker fails", event["error"], (event,)) for event in _of(events, "defect")
    ]
    if events:
        _forget(after, events)
    return violations, after


def _of(events: Iterable[Event], what: str) -> list[Event]:
    return [event for event in events if event["ev"] == what]


def _note_terms(events: list[Event], carry: Carry) -> Iterator[Violation]:
    for event in events:
        if event["ev"] == "term":
            fence = event["fence"]
            if fence in carry.terms:
                yield Violation("fences differ", f"two terms have the fence {fence}: {carry.terms[fence]}", (event,))
            carry.terms[fence] = TermSeen(event["who"], event["el"], fence, event["begin"], event["begin"])
        elif event["ev"] == "valid":
            term = carry.terms.get(event["fence"])
            if term is None:
                yield Violation("terms begin once", "a term that never began is valid", (event,))
                continue
            term.last = max(term.last, event["to"])
            term.over = event["over"]


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


def _exempt(carry: Carry, fence: int) -> bool:
    """Only fences count: its candidate was deleted from outside, or its session was closed by force."""
    term = carry.terms.get(fence)
    return fence in carry.exempt or (
        term is not None and any(s.who == term.who and s.overlap(term.begin, term.last) > 0 for s in carry.forced)
    )


def check_terms(events: list[Event], carry: Carry) -> Iterator[Violation]:
    """Never two valid leases on one election at one instant; fences grow with the begin of terms.

    A pair of terms that is found to be wrong is noted in `carry`, and not told again.
    """
    elections: dict[str, list[TermSeen]] = {}
    for term in carry.terms.values():
        elections.setdefault(term.election, []).append(term)
    for election, terms in elections.items():
        terms.sort(key=lambda term: term.fence)
        for place, later in enumerate(terms):
            for earlier in terms[:place]:
                if earlier.last < later.begin or _exempt(carry, earlier.fence):
                    continue
                if (earlier.fence, later.fence) in carry.told:
                    continue
                carry.told.add((earlier.fence, later.fence))
                until = min(earlier.last, later.last)
                if until >= max(earlier.begin, later.begin):
                    overlap = until - max(earlier.begin, later.begin)
                    text = f"{election}: two valid leases for {overlap:.3f} s: {earlier}; {later}"
                    yield Violation("one leader at a time", text, _excerpt(events, earlier, later))
                if later.begin < earlier.begin:
                    text = f"{election}: the later term has the smaller fence: {later}; {earlier}"
                    yield Violation("fences grow", text, _excerpt(events, earlier, later))


def _excerpt(events: list[Event], earlier: TermSeen, later: TermSeen) -> tuple[Event, ...]:
    """What befell two leaders, and the faults, in the time from two session timeouts before to the end."""
    begin, end = later.begin - 2 * T, max(earlier.last, later.begin)
    whos = {earlier.who, later.who}

    def shows(event: Event) -> bool:
        if event["ev"] in {"fault", "stopped", "exempt"}:
            since: float = event["begin"] if "begin" in event else event["t"]
            return since <= end and begin <= float(event["t"])
        telling = event["ev"] in {"session", "forced", "term"} or bool(event.get("over"))
        return telling and event["who"] in whos and begin <= event["t"] <= end

    return tuple(filter(shows, events))[:EXCERPT]


def check_store(writes: list[Event], carry: Carry) -> Iterator[Violation]:
    """The store accepted nothing out of order, and what it refused came from a leader that could not know."""
    for event in writes:
        election, fence = event["el"], event["fence"]
        largest = carry.accepted.get(election, 0)
        if event["accepted"]:
            if fence < largest:
                yield Violation("accepted writes are in order", f"{election}: {fence} after {largest}", (event,))
            carry.accepted[election] = max(largest, fence)
            continue
        held_up = event["t"] - event["checked"] > STALL
        stopped = any(s.who == event["by"] and s.overlap(event["checked"], event["t"]) > 0 for s in carry.stops)
        if not (held_up or stopped or _exempt(carry, fence)):
            text = f"{election}: {event['by']} wrote with {fence} after {largest}, and had not been stopped"
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


def _forget(carry: Carry, events: list[Event]) -> None:
    """Keep what can still matter: a term that may be valid, the last one of each election, what the living saw."""
    begin = events[0]["t"]
    living = {event["who"] for event in events}  # each process says something in each round
    carry.seen = {key: stamp for key, stamp in carry.seen.items() if key[0] in living}
    carry.versions = {key: version for key, version in carry.versions.items() if key[0] in living}
    latest: dict[str, int] = {}
    for term in carry.terms.values():
        latest[term.election] = max(term.fence, latest.get(term.election, 0))
    carry.terms = {
        fence: term
        for fence, term in carry.terms.items()
        if fence == latest[term.election] or term.last >= begin - 60.0
    }
    carry.exempt &= carry.terms.keys()
    carry.forced = [span for span in carry.forced if span.end >= begin - 60.0]
    carry.stops = [span for span in carry.stops if span.end >= begin - 60.0]
