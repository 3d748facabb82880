"""A service under a clock of the test, whose calls end as the test says."""

from __future__ import annotations

from collections import Counter

from traffic import endpoints

from zkdiscovery.balancing import (
    Balancer,
    Ejection,
    LeastInFlight,
    Outcome,
    P2cEwma,
    Pool,
    Random,
    Rendezvous,
    RingHash,
    RoundRobin,
    Tiers,
    Weighted,
)

RULES = Ejection()
EPOCH = 1.7e9  # seconds
STRATEGIES = [RoundRobin(), Random(), Weighted(), LeastInFlight(), P2cEwma(), Rendezvous(), RingHash(), Tiers()]


class Service:
    """A pool of endpoints, and time."""

    def __init__(self, number: int, balancer: Balancer | None = None, rules: Ejection | None = RULES, **pool: float):
        self.now = 1000.0
        self.endpoints = endpoints(number, clock=lambda: self.now)
        self.pool = Pool(
            balancer or RoundRobin(), ejection=rules, clock=lambda: self.now, wall=lambda: EPOCH + self.now, **pool
        )
        self.pool.update(self.endpoints)

    def report(self, index: int, outcome: Outcome, times: int = 1, took: float = 0.001) -> None:
        for _ in range(times):
            stamp = self.endpoints[index].started()
            self.now += took
            self.endpoints[index].finished(stamp, outcome)

    def eject(self, index: int) -> None:
        self.report(index, Outcome.FAILURE, RULES.consecutive)
        assert index not in self.picked(400)

    def picked(self, picks: int = 400, **options: object) -> Counter[int]:
        """Without a report, and without time that passes."""
        found = (self.pool.pick(**options) for _ in range(picks))
        return Counter(int(endpoint.instance.id) for endpoint in found if endpoint)

    def seconds_out(self, index: int) -> float:
        record = self.endpoints[index].ejection
        assert record is not None
        return record.until - self.now
