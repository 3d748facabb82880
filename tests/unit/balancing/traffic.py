"""Simulated calls through a picker, on a clock of their own: a minute of traffic takes a second and no sleep."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from zkdiscovery.balancing import Balancer, Ejection, Endpoint, Outcome, Pool
from zkdiscovery.model import Instance

if TYPE_CHECKING:
    from collections.abc import Callable


def endpoints(number: int, *, weights: dict[int, float] | None = None, clock: Callable[[], float] | None = None):
    """`number` endpoints with the ids "0", "1", …; weight 1.0 if `weights` says nothing else."""
    instances = [
        Instance("payments", "10.0.0.1", 8000, id=str(index), weight=(weights or {}).get(index, 1.0))
        for index in range(number)
    ]
    return [Endpoint(instance, clock) if clock else Endpoint(instance) for instance in instances]


@dataclass(frozen=True)
class Call:
    began: float  # seconds since the start of the simulation
    server: int
    took: float  # seconds
    outcome: Outcome


class Traffic:
    """Calls to simulated servers, chosen by one client's balancer.

    `answer(server, now)` says how long a call that begins now takes, in seconds, and how it ends.
    """

    def __init__(
        self,
        balancer: Balancer,
        servers: int,
        answer: Callable[[int, float], tuple[float, Outcome]],
        weights: dict[int, float] | None = None,
        ejection: Ejection | None = None,
    ) -> None:
        self.now = 0.0
        self.endpoints = endpoints(servers, weights=weights, clock=lambda: self.now)
        self.calls: list[Call] = []
        self._pool = Pool(balancer, ejection=ejection, clock=lambda: self.now)
        self._pool.update(self.endpoints)
        self._answer = answer
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), action))

    def use(self, servers: range) -> None:
        """The set changes: only these are picked from now on."""
        self._pool.update([self.endpoints[server] for server in servers])

    def run(self) -> list[Call]:
        """Let time pass until nothing is left to happen; returns all calls."""
        while self._events:
            self.now, _, action = heapq.heappop(self._events)
            action()
        return self.calls

    def call(self, then: Callable[[], None] = lambda: None) -> None:
        endpoint = self._pool.pick()
        assert endpoint is not None
        stamp = endpoint.started()
        server = int(endpoint.instance.id)
        took, outcome = self._answer(server, self.now)
        self.calls.append(Call(self.now, server, took, outcome))

        def end() -> None:
            endpoint.finished(stamp, outcome)
            then()

        self.at(self.now + took, end)

    def open_loop(self, rate: float, seconds: float, seed: int = 1) -> list[Call]:
        """Calls at random moments, `rate` a second on average, for so many seconds."""
        random = Random(seed)
        when = random.expovariate(rate)
        while when < seconds:
            self.at(when, self.call)
            when += random.expovariate(rate)
        return self.run()

    def closed_loop(self, callers: int, calls: int) -> list[Call]:
        """`callers` at work at a time, each with one call after the other, until `calls` have begun."""

        def again() -> None:
            if len(self.calls) < calls:
                self.call(again)

        for _ in range(callers):
            self.at(0.0, again)
        return self.run()
