"""A discrete-event simulation of clients that call servers: an hour of traffic takes seconds, and no sleep.

Guarantees: the same seed gives the same run; and under one seed every strategy meets the same calls, the k-th at the
same moment, from the same client, with the same key and the same work to do, so that differences are the strategies'.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from zkdiscovery.balancing import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from zkdiscovery.model import Instance

EPOCH = 1.7e9  # seconds since 1970 when a simulation begins; instances registered long before have none of it
KEYS = 10_000  # different keys that calls are about, each as frequent as any other


class Node(Protocol):
    """An instance as one client sees it; `Endpoint` is one."""

    instance: Instance

    def started(self) -> float: ...
    def finished(self, started: float, outcome: Outcome, /) -> None: ...


class Balancing(Protocol):
    """One client's load balancing."""

    def update(self, instances: Sequence[Instance]) -> None: ...
    def pick(self, key: str | None) -> Node | None: ...


class Call(NamedTuple):
    began: float  # virtual seconds
    client: int
    server: str  # "": there was none to call
    took: float  # seconds, as the client saw it
    outcome: Outcome


class Simulation:
    """Virtual time, and what is to happen in it."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0  # virtual seconds
        self.calls: list[Call] = []
        self.dice = random.Random(f"load {seed}")  # what happens to every strategy alike
        random.seed(seed)  # what the strategies draw from
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now

    def at(self, when: float, action: Callable[..., None], *arguments: object) -> None:
        """`action(*arguments)` at that moment; of two at the same moment, the first one asked for is first."""
        heapq.heappush(self._events, (when, next(self._order), action, arguments))

    def run(self) -> list[Call]:
        """Let time pass until nothing is left to happen; returns all calls in the order of their beginning."""
        events = self._events
        while events:
            self.now, _, action, arguments = heapq.heappop(events)
            action(*arguments)
        return self.calls


@dataclass(frozen=True, slots=True)
class Seat:
    """Which client of a simulation a strategy serves."""

    simulation: Simulation
    index: int = 0
    clients: int = 1
    zone: str | None = None


class Server:
    """Answers calls, so many at a time; the others wait in line.

    Args:
        instance: as it is registered.
        behave: `behave(when, demand)`: how many seconds an answer begun at that moment takes (`inf`: none comes), and
            how it ends. `demand` is the call's own amount of work, 1.0 on average.
        workers: calls worked on at a time; None: any number.
    """

    def __init__(
        self, instance: Instance, behave: Callable[[float, float], tuple[float, Outcome]], workers: int | None = None
    ) -> None:
        self.instance = instance
        self.behave = behave
        self._free_at = None if workers is None else [0.0] * workers  # a heap: when each worker is free

    def answer(self, now: float, demand: float) -> tuple[float, Outcome]:
        """When the call that comes in now ends, and how. First in, first out, so both are known beforehand."""
        if self._free_at is None:
            seconds, outcome = self.behave(now, demand)
            return now + seconds, outcome
        begins = max(now, self._free_at[0])
        seconds, outcome = self.behave(begins, demand)
        if seconds < inf:
            heapq.heapreplace(self._free_at, begins + seconds)
        return begins + seconds, outcome


class Client:
    """Calls servers through its own load balancing, gives up after `limit` seconds, and never retries.

    `remote` seconds are added to answers from other zones than `zone`.
    """

    def __init__(
        self,
        simulation: Simulation,
        number: int,
        balancing: Balancing,
        servers: dict[str, Server],
        *,
        limit: float = inf,
        zone: str | None = None,
        remote: float = 0.0,
    ) -> None:
        self.balancing = balancing
        self._simulation = simulation
        self._number = number
        self._servers = servers
        self._limit = limit
        self._zone = zone
        self._remote = remote

    def call(self, demand: float, key: str | None = None, then: Callable[[], None] | None = None) -> None:
        """Begin a call; `then()` when it has ended."""
        simulation = self._simulation
        now = simulation.now
        node = self.balancing.pick(key)
        if node is None:
            simulation.calls.append(Call(now, self._number, "", 0.0, Outcome.FAILURE))
            if then is not None:
                simulation.at(now + 0.001, then)
            return
        stamp = node.started()
        server = self._servers[node.instance.id]
        ends, outcome = server.answer(now, demand)
        if self._remote and server.instance.zone != self._zone:
            ends += self._remote
        if ends - now > self._limit:
            ends, outcome = now + self._limit, Outcome.FAILURE
        simulation.calls.append(Call(now, self._number, server.instance.id, ends - now, outcome))
        simulation.at(ends, self._end, node, stamp, outcome, then)

    def _end(self, node: Node, stamp: float, outcome: Outcome, then: Callable[[], None] | None) -> None:
        node.finished(stamp, outcome)
        if then is not None:
            then()


def open_loop(simulation: Simulation, clients: Sequence[Client], rate: float, seconds: float) -> list[Call]:
    """Calls at random moments, `rate` a second on average, each from any of the clients; exponential demands."""
    dice, number = simulation.dice, len(clients)

    def arrive() -> None:
        clients[int(dice.random() * number)].call(dice.expovariate(1.0), str(int(dice.random() * KEYS)))
        when = simulation.now + dice.expovariate(rate)
        if when < seconds:
            simulation.at(when, arrive)

    simulation.at(dice.expovariate(rate), arrive)
    return simulation.run()


def closed_loop(simulation: Simulation, client: Client, callers: int, calls: int) -> list[Call]:
    """`callers` at work, each with one call after the other, until `calls` have begun; demands uniform from 0 to 2."""
    dice = simulation.dice

    def again() -> None:
        if len(simulation.calls) < calls:
            client.call(2.0 * dice.random(), None, again)

    for _ in range(callers):
        simulation.at(0.0, again)
    return simulation.run()


def percentile(calls: Iterable[Call], part: float) -> float:
    """Seconds within which that part of the calls ended."""
    took = sorted(call.took for call in calls)
    return took[min(len(took) - 1, int(part * len(took)))]


def failed(calls: Sequence[Call]) -> float:
    """The part of the calls that failed."""
    return sum(call.outcome is not Outcome.SUCCESS for call in calls) / len(calls)
