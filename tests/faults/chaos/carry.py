"""What the invariants share: holds and spans of time as histories tell of them, and what one round leaves for the next.

A hold is a term of an election, or a hold of a lock or of a shard. A process proves that it was valid at a stamp, and
so from its begin to that stamp, because a lost hold never revives.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.faults.chaos.history import Event

T = 4.0  # seconds, session timeout of the workers
MEMORY = 60.0  # seconds for which what is over may still matter
EXCERPT = 25  # events that are shown with a violation
FIRST_LIMIT = 2  # of each semaphore: what its first user stores


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
class HoldSeen:
    """A hold, as its process proved it: valid from `begin` to `last`, at least.

    Attributes:
        who: the process.
        kind: "term", "shard", or what a place of a lock is for.
        of: the election, the lock or the shard.
        fence: of the hold.
        asked: when the process began to wait for it.
        begin: the first stamp.
        last: the newest one.
        over: why it ended; None while it may last.
    """

    who: str
    kind: str
    of: str
    fence: int
    asked: float
    begin: float
    last: float
    over: str | None = None

    def __str__(self) -> str:
        state = self.over or "not over"
        return f"{self.who} {self.kind} fence {self.fence} valid {self.begin:.3f}…{self.last:.3f} ({state})"


class LimitChange(NamedTuple):
    """A limit that somebody stored, or tried to.

    Attributes:
        of: the semaphore.
        begin: when the call began.
        end: when the limit was surely in force, if it ever was.
        number: the limit.
        sure: the call succeeded.
    """

    of: str
    begin: float
    end: float
    number: int
    sure: bool

    def until(self, changes: Iterable[LimitChange]) -> float:
        """Return when it was surely not in force any more, because somebody stored another one after it."""
        later = (other.end for other in changes if other.of == self.of and other.sure and other.begin > self.end)
        return min(later, default=math.inf)


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

    holds: dict[int, HoldSeen] = field(default_factory=dict)  # by fence, those that may still matter
    limits: list[LimitChange] = field(default_factory=list)  # in the order of their begin
    exempt: set[int] = field(default_factory=set)  # fences of nodes that were deleted from outside
    forced: list[Span] = field(default_factory=list)  # sessions ended by force
    stops: list[Span] = field(default_factory=list)  # processes stopped by a signal
    accepted: dict[str, int] = field(default_factory=dict)  # largest fence in the store, by what holds are of
    seen: dict[tuple[str, str, str, str], tuple[int, int, int]] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    told: set[tuple[str, int, int]] = field(default_factory=set)  # invariants that a pair of holds was found to break

    def copy(self) -> Carry:
        """Return one that changes independently."""
        return Carry(
            holds={fence: dataclasses.replace(hold) for fence, hold in self.holds.items()},
            limits=list(self.limits),
            exempt=set(self.exempt),
            forced=list(self.forced),
            stops=list(self.stops),
            accepted=dict(self.accepted),
            seen=dict(self.seen),
            versions=dict(self.versions),
            told=set(self.told),
        )

    def beyond_leases(self, fence: int, over: float = 0.0) -> bool:
        """Return whether only the fence counts: the node was deleted from outside, or its session closed by force.

        `over` is when the process knew that the hold was over, if that counts.
        """
        hold = self.holds.get(fence)
        return fence in self.exempt or (
            hold is not None
            and any(s.who == hold.who and s.overlap(hold.begin, max(hold.last, over)) > 0 for s in self.forced)
        )

    def forget(self, events: list[Event]) -> None:
        """Keep what can still matter after a round: holds that may be valid, the last of each kind, what is there."""
        since = events[0]["t"] - MEMORY
        living = {event["who"] for event in events}  # each process says something in each round
        self.seen = {key: stamp for key, stamp in self.seen.items() if key[0] in living}
        self.versions = {key: version for key, version in self.versions.items() if key[0] in living}
        latest: dict[tuple[str, str], int] = {}
        for hold in self.holds.values():
            latest[hold.of, hold.kind] = max(hold.fence, latest.get((hold.of, hold.kind), 0))
        self.holds = {
            fence: hold
            for fence, hold in self.holds.items()
            if fence == latest[hold.of, hold.kind] or hold.last >= since
        }
        self.exempt &= self.holds.keys()
        self.forced = [span for span in self.forced if span.end >= since]
        self.stops = [span for span in self.stops if span.end >= since]
        # Nothing is under way when a round is checked: what has not come into force never will.
        over = max(event["t"] for event in events)
        self.limits = [change._replace(end=over) if change.end == math.inf else change for change in self.limits]
        self.limits = [change for change in self.limits if change.until(self.limits) >= since]
