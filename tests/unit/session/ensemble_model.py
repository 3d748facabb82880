"""A client, a follower and a leader of an ensemble, each of which may stand still at any time; messages may be late.

Time is virtual, and T is 1. What is modelled of ZooKeeper: the leader pings the follower each half tick; the follower
answers with the sessions that it has heard of since the ping before; it answers reads by itself and passes writes and
`sync` on; both keep the order of what they say to each other. What arrives at one that stands still, and a ping that is
due meanwhile, is handled when it goes on, in either order.

The connection of follower and leader may end at any moment. The worst one is right after the follower has passed on a
transaction: so the leader has heard of the session when it had as it read that transaction.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from zkdiscovery.session.exchanges import Exchanges


class Plan(NamedTuple):
    """What happens in a run; times in units of T.

    Attributes:
        tick: of the ensemble, 0.5 at most.
        phase: when the leader pings first.
        acts: what the client does: (time since the act before, whether it is a proof or a read).
        delays: of the messages, in turns: client to follower, back, follower to leader, back.
        stops: of client, follower and leader: (time of running, time of standing still), in turns.
        ping_last: the leader, when it goes on, handles what has arrived before it sends its ping.
    """

    tick: float = 0.5
    phase: float = 0.0
    acts: Sequence[tuple[float, bool]] = ()
    delays: tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]] = ((0.0,),) * 4
    stops: tuple[Sequence[tuple[float, float]], ...] = ((), (), ())
    ping_last: bool = True


class Claim(NamedTuple):
    """What a client concludes from a commit: until when its session lives, and until when it does."""

    proven: float
    lives: float


class _Process:
    """One that stands still at times."""

    def __init__(self, stops: Iterable[tuple[float, float]]) -> None:
        edges = list(itertools.accumulate(itertools.chain.from_iterable(stops)))
        self._begins, self._ends = edges[::2], edges[1::2]

    def runs_at(self, at: float) -> float:
        """When it does what is due at a time."""
        place = bisect_right(self._begins, at) - 1
        return max(at, self._ends[place]) if place >= 0 else at


class _Stream:
    """Messages in order, each with a delay."""

    def __init__(self, delays: Sequence[float]) -> None:
        self._delays = itertools.cycle(delays or (0.0,))
        self._last = 0.0

    def arrives(self, sent: float) -> float:
        self._last = max(self._last, sent + next(self._delays)) + 1e-9
        return self._last


class Model:
    """A run of a plan under a rule. `claims` has what the client concluded."""

    def __init__(self, plan: Plan, rule: type[Exchanges]) -> None:
        self.claims: list[Claim] = []
        self._plan = plan
        self._events: list[tuple[float, int, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._client, self._follower, self._leader = map(_Process, plan.stops)
        self._up, self._down, self._to_leader, self._from_leader = map(_Stream, plan.delays)
        self._heard = 0.0  # by the leader: the handshake
        self._touched = False  # at the follower, since its last answer to a ping
        self._exchanges = rule()
        self._exchanges.restart(0.0, 0.0, 1.0)

    def run(self) -> list[Claim]:
        """All of it."""
        end = 0.0
        for gap, proof in self._plan.acts:
            end += gap
            trips = self._exchanges.trips if proof else 0
            self._at(self._client.runs_at(end), lambda now, trips=trips: self._send(now, trips))  # type: ignore[misc]
        self._at(self._leader.runs_at(self._plan.phase), self._ping, late=self._plan.ping_last)
        while self._events and self._events[0][0] <= end + 3.0:
            at, _, _, act = heapq.heappop(self._events)
            act(at)
        return self.claims

    def _at(self, at: float, act: Callable[[float], None], *, late: bool = False) -> None:
        heapq.heappush(self._events, (at, late, next(self._order), act))

    def _send(self, sent: float, trips: int) -> None:
        """The client sends a read, or one of so many trips; the last one is a transaction."""
        arrives = self._up.arrives(self._client.runs_at(sent))
        self._at(self._follower.runs_at(arrives), lambda now: self._take(now, sent, trips))

    def _take(self, now: float, sent: float, trips: int) -> None:
        """The follower takes a request."""
        self._touched = True
        if trips:
            arrives = self._to_leader.arrives(now)
            self._at(self._leader.runs_at(arrives), lambda at: self._lead(at, sent, trips))
        else:
            self._answer(now, sent, trips, 0.0)

    def _lead(self, now: float, sent: float, trips: int) -> None:
        """The leader takes a trip."""
        heard, arrives = self._heard, self._from_leader.arrives(now)
        self._at(self._follower.runs_at(arrives), lambda at: self._answer(at, sent, trips, heard))

    def _answer(self, now: float, sent: float, trips: int, heard: float) -> None:
        """The follower answers the client."""
        arrives = self._down.arrives(now)
        self._at(self._client.runs_at(arrives), lambda at: self._answered(at, sent, trips, heard))

    def _answered(self, now: float, sent: float, trips: int, heard: float) -> None:
        """The client handles an answer."""
        self._exchanges.add(sent, now, trip=trips > 0, commit=trips == 1)
        if trips == 1:
            self.claims.append(Claim(self._exchanges.proven, heard + 1.0))
        elif trips:
            self._at(self._client.runs_at(now), lambda at: self._send(at, trips - 1))

    def _ping(self, now: float) -> None:
        """The leader sends a ping."""
        arrives = self._from_leader.arrives(now)
        self._at(self._follower.runs_at(arrives), self._pinged)
        due = now + self._plan.tick / 2
        awake = self._leader.runs_at(due)
        self._at(awake, self._ping, late=awake > due and self._plan.ping_last)

    def _pinged(self, now: float) -> None:
        """The follower answers a ping."""
        touched, self._touched = self._touched, False
        arrives = self._to_leader.arrives(now)
        self._at(self._leader.runs_at(arrives), lambda at: self._told(at, touched=touched))

    def _told(self, now: float, *, touched: bool) -> None:
        """The leader hears of the sessions of the follower."""
        if touched:
            self._heard = now
