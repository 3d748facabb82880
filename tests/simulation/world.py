"""Servers and clients put together, and the usual ways in which servers behave."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tests.simulation.contenders import Contender
from tests.simulation.simulation import EPOCH, Client, Seat, Server, Simulation
from zkdiscovery.balancing import Outcome
from zkdiscovery.model import Instance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONG_AGO = EPOCH - 86_400.0


def instance(
    name: object, *, weight: float = 1.0, zone: str | None = None, registered_at: float = LONG_AGO, tier: int = 0
) -> Instance:
    """One that has been up for a day."""
    return Instance(
        "payments",
        "10.0.0.1",
        8000,
        id=str(name),
        weight=weight,
        zone=zone,
        metadata={"tier": str(tier)},
        registered_at=registered_at,
    )


def takes(seconds: float) -> Callable[[float, float], tuple[float, Outcome]]:
    """Answers take that long for a demand of 1.0."""
    return lambda when, demand: (seconds * demand, Outcome.SUCCESS)


class World:
    """Some clients of one contender in front of some servers, all of which are registered.

    Args:
        contender: what every client balances with.
        seed: of all that is left to chance.
        servers: in the order in which clients see them.
        clients: how many.
        zones: clients take their zones from here in turns.
        limit, remote: see `Client`.
    """

    def __init__(
        self,
        contender: Contender,
        seed: int,
        servers: Sequence[Server],
        *,
        clients: int = 1,
        zones: Sequence[str | None] = (None,),
        limit: float = inf,
        remote: float = 0.0,
    ) -> None:
        self.simulation = Simulation(seed)
        self.servers = {server.instance.id: server for server in servers}
        seats = [Seat(self.simulation, index, clients, zones[index % len(zones)]) for index in range(clients)]
        self.clients = [
            Client(
                self.simulation,
                seat.index,
                contender.make(seat),
                self.servers,
                limit=limit,
                zone=seat.zone,
                remote=remote,
            )
            for seat in seats
        ]
        self._registered = list(self.servers)
        self._tell()

    def leave(self, *names: str) -> None:
        """These are registered no more; calls under way go on."""
        self._registered = [name for name in self._registered if name not in names]
        self._tell()

    def join(self, *servers: Server) -> None:
        """These are registered anew, at their old place in the list."""
        for server in servers:
            self.servers[server.instance.id] = server
        here = {*self._registered, *(server.instance.id for server in servers)}
        self._registered = [name for name in self.servers if name in here]
        self._tell()

    def _tell(self) -> None:
        instances = [self.servers[name].instance for name in self._registered]
        for client in self.clients:
            client.balancing.update(instances)
