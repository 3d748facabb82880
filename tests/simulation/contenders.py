"""The field: every strategy of ours and of the peers, each as one client of a simulation sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation import peers
from zkdiscovery.balancing import (
    Balancer,
    Ejection,
    Endpoint,
    LeastInFlight,
    Maglev,
    P2cEwma,
    Pool,
    PreferZone,
    Random,
    Rendezvous,
    RingHash,
    RoundRobin,
    Sticky,
    Subset,
    Tiers,
    Weighted,
    WeightedRoundRobin,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.simulation import Balancing, Seat
    from zkdiscovery.model import Instance

SLOW_START = 30.0  # seconds, where a strategy has it switched on


class Shipped:
    """One client of a shipped strategy, with the pool that a view puts in front of it."""

    def __init__(self, seat: Seat, balancer: Balancer, ejection: Ejection | None, slow_start: float) -> None:
        clock, wall = seat.simulation.clock, seat.simulation.wall
        self._clock = clock
        self._pool = Pool(balancer, ejection=ejection, slow_start=slow_start, clock=clock, wall=wall)
        self._endpoints: dict[tuple[str, float | None], Endpoint] = {}

    def update(self, instances: Sequence[Instance]) -> None:
        known = self._endpoints
        self._endpoints = {}
        for each in instances:
            identity = each.id, each.registered_at
            self._endpoints[identity] = known.get(identity) or Endpoint(each, self._clock)
        self._pool.update(tuple(self._endpoints.values()))

    def pick(self, key: str | None) -> Endpoint | None:
        return self._pool.pick(key)


@dataclass(frozen=True)
class Contender:
    """A strategy in the field.

    Args:
        name: as the tables have it.
        make: a new client of it.
        ours: shipped, or a peer's.
        blind: it sees neither load nor answer times, so that two clients that carry all calls tell as much as 200.
    """

    name: str
    make: Callable[[Seat], Balancing]
    ours: bool = True
    blind: bool = False


def ours(
    name: str,
    balancer: Balancer | Callable[[Seat], Balancer],
    *,
    ejection: Ejection | None = Ejection(),  # noqa: B008 - immutable
    slow_start: float = 0.0,
    blind: bool = False,
) -> Contender:
    """A shipped strategy, or what makes one for a client."""

    def make(seat: Seat) -> Balancing:
        return Shipped(seat, balancer(seat) if callable(balancer) else balancer, ejection, slow_start)

    return Contender(name, make, blind=blind)


def theirs(name: str, make: Callable[[Seat], Balancing]) -> Contender:
    """A peer's strategy."""
    return Contender(name, make, ours=False)


DEFAULT = ours("p2c_ewma", P2cEwma())
NO_EJECTION = ours("p2c_ewma, no ejection", P2cEwma(), ejection=None)

FIELD = (
    DEFAULT,
    NO_EJECTION,
    ours("least_in_flight", LeastInFlight()),
    ours("round_robin", RoundRobin()),
    ours("random", Random()),
    ours("weighted", Weighted()),
    ours("weighted_round_robin", WeightedRoundRobin()),
    ours("subset of 8", lambda seat: Subset(8, index=seat.index)),
    ours("sticky", Sticky()),
    ours("ring_hash", RingHash(), blind=True),
    ours("ring_hash, bound 1.25", RingHash(bound=1.25)),
    ours("maglev", Maglev(), blind=True),
    ours("rendezvous", Rendezvous(), blind=True),
    theirs("Curator round robin", peers.Curator),
    theirs("Ribbon round robin", partial(peers.RoundRobin, breaker=peers.RIBBON)),
    theirs("Envoy round robin", peers.EnvoyRoundRobin),
    theirs("Envoy least request", peers.EnvoyLeastRequest),
    theirs("Finagle P2C", partial(peers.FinagleP2c, breaker=peers.FINAGLE)),
    theirs("Finagle aperture", partial(peers.FinagleAperture, breaker=peers.FINAGLE)),
    theirs("Finagle P2C EWMA", partial(peers.FinagleEwma, breaker=peers.FINAGLE)),
    theirs("Linkerd", partial(peers.Linkerd, breaker=peers.LINKERD)),
    theirs("tower P2C EWMA", peers.TowerEwma),
)
ZONED = (
    ours("prefer_zone", lambda seat: PreferZone(seat.zone)),
    ours("tiers", Tiers()),
)
WARMED = (
    ours("p2c_ewma, slow start", P2cEwma(), slow_start=SLOW_START),
    ours("round_robin, slow start", RoundRobin(), slow_start=SLOW_START),
    theirs("Envoy round robin, slow start", partial(peers.EnvoyRoundRobin, window=SLOW_START)),
    theirs("Envoy least request, slow start", partial(peers.EnvoyLeastRequest, window=SLOW_START)),
)
