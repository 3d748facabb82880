"""One client's simulated calls through a strategy, on the simulation of tests/simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation import simulation
from tests.simulation.contenders import Shipped
from tests.simulation.simulation import Call, Client, Seat, Server, Simulation
from zkdiscovery.balancing import Balancer, Ejection, Endpoint, Outcome
from zkdiscovery.model import Instance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Call", "Traffic", "endpoints"]


def instances(number: int, weights: dict[int, float] | None = None) -> list[Instance]:
    """`number` instances with the ids "0", "1", …; weight 1.0 if `weights` says nothing else."""
    return [
        Instance("payments", "10.0.0.1", 8000, id=str(index), weight=(weights or {}).get(index, 1.0))
        for index in range(number)
    ]


def endpoints(number: int, *, weights: dict[int, float] | None = None, clock: Callable[[], float] | None = None):
    """The endpoints of `instances`."""
    return [Endpoint(each, clock) if clock else Endpoint(each) for each in instances(number, weights)]


class Traffic:
    """Calls of one client to simulated servers.

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
        self._simulation = Simulation(seed=1)
        self._instances = instances(servers, weights)
        self._client = Client(
            self._simulation,
            0,
            Shipped(Seat(self._simulation), balancer, ejection, slow_start=0.0),
            {
                each.id: Server(each, lambda now, _, server=int(each.id): answer(server, now))
                for each in self._instances
            },
        )
        self.use(range(servers))

    def at(self, when: float, action: Callable[[], None]) -> None:
        self._simulation.at(when, action)

    def use(self, servers: range) -> None:
        """The set changes: only these are picked from now on."""
        self._client.balancing.update([self._instances[server] for server in servers])

    def open_loop(self, rate: float, seconds: float) -> Sequence[Call]:
        """Calls at random moments, `rate` a second on average, for so many seconds."""
        return simulation.open_loop(self._simulation, [self._client], rate, seconds)

    def closed_loop(self, callers: int, calls: int) -> Sequence[Call]:
        """`callers` at work at a time, each with one call after the other, until `calls` have begun."""
        return simulation.closed_loop(self._simulation, self._client, callers, calls)
