"""The scenarios: what goes wrong in practice, each run with every strategy in the field."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from tests.simulation.contenders import FIELD, WARMED, ZONED, Contender
from tests.simulation.published import one_slow_node
from tests.simulation.simulation import EPOCH, Call, Server, failed, open_loop, percentile
from tests.simulation.world import World, instance, takes
from zkdiscovery.balancing import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Target:
    """What the default strategy must show in a column: at most `limit`, or so many times the best peer's."""

    limit: float
    of_the_best_peer: bool = False


@dataclass(frozen=True)
class Scenario:
    """One question to the whole field.

    Args:
        name: on the command line, and of the picture.
        title: of the table and the picture.
        text: what happens, for the docs.
        run: `run(contender, seed, scale)`: the value of each column. `scale`: part of the full length, 1.0 or less.
        contenders: who takes part.
        drawn: the columns of the picture; all if empty.
        targets: by column.
    """

    name: str
    title: str
    text: str
    run: Callable[[Contender, int, float], dict[str, float]]
    contenders: tuple[Contender, ...] = FIELD
    drawn: tuple[str, ...] = ()
    targets: dict[str, Target] | None = None


def waits(calls: Sequence[Call]) -> dict[str, float]:
    """Percentiles in milliseconds of those that began after the first fifth, when all has settled."""
    settled = calls[len(calls) // 5 :]
    return {f"p{part:g}, ms": 1000.0 * percentile(settled, part / 100.0) for part in (50, 99, 99.9)}


# -- an instance that fails fast --

SINKHOLES = (  # label, seconds of an answer, calls a second and calls in all of each client, clients
    ("50 ms", 0.050, 200.0, 40_000, 1),
    ("300 ms", 0.300, 200.0, 40_000, 1),
    ("20 s", 20.0, 20.0, 40_000, 1),
    ("5 calls/s", 0.050, 5.0, 40_000, 1),
    ("10 clients", 0.050, 20.0, 10_000, 10),
)


def sinkhole(contender: Contender, seed: int, scale: float) -> dict[str, float]:
    errors = {}
    for label, seconds, rate, number, clients in SINKHOLES:
        servers = [Server(instance(name), fails_fast if name == 3 else takes(seconds)) for name in range(10)]
        world = World(contender, seed, servers, clients=clients)
        calls = open_loop(world.simulation, world.clients, clients * rate, number * scale / rate)
        errors[f"errors, {label}, %"] = 100.0 * failed(calls)
    return errors


def fails_fast(when: float, demand: float) -> tuple[float, Outcome]:
    return 0.001 * demand, Outcome.FAILURE


# -- an instance that becomes slow --


def slow_node(contender: Contender, seed: int, scale: float) -> dict[str, float]:
    seconds = 60.0 * max(scale, 0.5)
    values = {}
    for usual in (0.050, 0.100):
        world = World(contender, seed, one_slow_node(seconds, usual))
        calls = open_loop(world.simulation, world.clients, rate=1000, seconds=seconds)
        label = f"{1000 * usual:g} ms"
        values[f"later than 1 s, {label}, %"] = 100.0 * sum(call.took >= 1.0 for call in calls) / len(calls)
        values[f"p99, {label}, ms"] = waits(calls)["p99, ms"]
    return values


# -- the usual Python deployment: many processes, each with few calls --


def many_clients(speeds: Sequence[float], contender: Contender, seed: int, scale: float) -> dict[str, float]:
    servers = [Server(instance(name), takes(0.050 / speed), workers=4) for name, speed in enumerate(speeds)]
    world = World(contender, seed, servers, clients=2 if contender.blind else 200)
    return waits(open_loop(world.simulation, world.clients, rate=1280, seconds=120.0 * scale))


def equal_hardware(contender: Contender, seed: int, scale: float) -> dict[str, float]:
    return many_clients([1.0] * 20, contender, seed, scale)


def mixed_hardware(contender: Contender, seed: int, scale: float) -> dict[str, float]:
    return many_clients([1.0] * 16 + [0.5] * 4, contender, seed, scale)


# -- one after the other is replaced, and starts cold --

COLD = 10.0  # seconds until a new process is as fast as the old ones
COLDEST = 5.0  # times slower at first


def rolling_deploy(contender: Contender, seed: int, scale: float) -> dict[str, float]:
    number, every, away, limit = max(3, int(10 * scale)), 15.0, 5.0, 1.0

    def process(name: int, born: float) -> Server:
        def behave(when: float, demand: float) -> tuple[float, Outcome]:
            slower = 1.0 + (COLDEST - 1.0) * max(0.0, 1.0 - (when - born) / COLD)
            return 0.050 * slower * demand, Outcome.SUCCESS

        return Server(instance(name, registered_at=EPOCH + born), behave, workers=2)

    world = World(contender, seed, [process(name, -86_400.0) for name in range(10)], clients=10, limit=limit)
    for turn in range(number):
        leaves = every * (turn + 1)
        world.simulation.at(leaves, world.leave, str(turn))
        world.simulation.at(leaves + away, world.join, process(turn, leaves + away))
    calls = open_loop(world.simulation, world.clients, rate=200, seconds=every * (number + 2))
    deploy = [call for call in calls if call.began >= every]
    return {
        "errors, %": 100.0 * failed(deploy),
        **{f"p{part:g}, ms": 1000.0 * percentile(deploy, part / 100.0) for part in (50, 99, 99.9)},
    }


# -- a zone goes dark --


def zone_loss(contender: Contender, seed: int, scale: float) -> dict[str, float]:
    lost, removed, back, end = 20.0, 30.0, 60.0, 80.0

    def server(zone: str, name: int, born: float = -86_400.0) -> Server:
        def behave(when: float, demand: float) -> tuple[float, Outcome]:
            dark = zone == "a" and born < 0.0 and when >= lost
            return (inf if dark else 0.050 * demand), Outcome.SUCCESS

        registered = instance(f"{zone}{name}", zone=zone, registered_at=EPOCH + born, tier=int(zone == "c"))
        return Server(registered, behave, workers=2)

    servers = [server(zone, name) for name in range(6) for zone in "abc"]
    clients = 30 if scale == 1.0 else 15
    world = World(contender, seed, servers, clients=clients, zones=("a", "b", "c"), limit=1.0, remote=0.002)
    world.simulation.at(removed, world.leave, *(f"a{name}" for name in range(6)))
    world.simulation.at(back, world.join, *(server("a", name, back) for name in range(6)))
    calls = open_loop(world.simulation, world.clients, rate=324, seconds=end)
    during = [call for call in calls if call.began >= lost]
    before = [call for call in calls if 5.0 <= call.began < lost - 1.0]
    across = sum(call.server[:1] != "abc"[call.client % 3] for call in before) / len(before)
    return {
        "errors from the loss on, %": 100.0 * failed(during),
        "p99 from the loss on, ms": 1000.0 * percentile(during, 0.99),
        "across zones before, %": 100.0 * across,
        "p99 before, ms": 1000.0 * percentile(before, 0.99),
    }


# -- instances of different size, which say so --

WEIGHTS = (1.0, 1.0, 2.0, 4.0, 0.5, 4.0)


def weights(contender: Contender, seed: int, scale: float) -> dict[str, float]:
    values = {}
    for label, rate in (("10 % load", 50.0), ("75 % load", 375.0)):
        servers = [
            Server(instance(name, weight=weight), takes(0.050), workers=int(2 * weight))
            for name, weight in enumerate(WEIGHTS)
        ]
        world = World(contender, seed, servers, clients=10)
        calls = open_loop(world.simulation, world.clients, rate, 60_000 * scale / rate)
        off = []
        for name, weight in enumerate(WEIGHTS):
            part = sum(call.server == str(name) for call in calls) / len(calls)
            off.append(abs(part / (weight / sum(WEIGHTS)) - 1.0))
        values[f"furthest from its weight, {label}, %"] = 100.0 * max(off)
        values[f"p99, {label}, ms"] = waits(calls)["p99, ms"]
    return values


SCENARIOS = (
    Scenario(
        "sinkhole",
        "One of 10 fails in 1 ms: calls that failed",
        "One of 10 instances fails every call within 1 ms; the others answer in 50 ms, 300 ms or 20 s on average"
        " (exponential), to one client with 200, 200 and 20 calls a second, in the fourth column to one with 5 calls a"
        " second, in the last one to 10 clients with 20 calls a second each. 40,000 calls; of each of the 10, 10,000."
        " Nothing is retried.",
        sinkhole,
        drawn=("errors, 50 ms, %", "errors, 20 s, %", "errors, 10 clients, %"),
        targets={f"errors, {label}, %": Target(0.1) for label, *_ in SINKHOLES},
    ),
    Scenario(
        "slow-node",
        "One of 11 takes 2 s for half a minute: calls later than 1 s",
        "Linkerd's scenario: 11 instances, 1,000 calls a second from one client for a minute; answers take 50 ms or"
        " 100 ms on average (exponential), but 2 s from one instance between the 15th and the 45th second.",
        slow_node,
        drawn=("later than 1 s, 50 ms, %", "later than 1 s, 100 ms, %"),
        targets={"later than 1 s, 50 ms, %": Target(0.1)},
    ),
    Scenario(
        "many-clients",
        "200 clients of low concurrency, equal hardware: answer times",
        "200 processes with 6.4 calls a second each, on 20 instances that work on 4 calls at a time, 50 ms each on"
        " average (exponential): 80 % load. A client seldom has a call in flight when it begins one, and hears from an"
        " instance every 3 s.",
        equal_hardware,
        drawn=("p50, ms", "p99, ms"),
    ),
    Scenario(
        "mixed-hardware",
        "200 clients of low concurrency, 4 of 20 at half the speed: answer times",
        "As before, but 4 of the 20 instances take twice as long, and do not say so by their weight: 89 % load. An even"
        " share is 160 % of what those can do.",
        mixed_hardware,
        drawn=("p50, ms", "p99, ms"),
        targets={"p99, ms": Target(1.1, of_the_best_peer=True)},
    ),
    Scenario(
        "rolling-deploy",
        "A rolling deploy with cold starts: calls later than 1 s, and answer times",
        "10 instances that work on 2 calls at a time, 50 ms each on average, 200 calls a second from 10 clients: 50 %"
        " load. Every 15 s one deregisters, is away for 5 s and comes back cold: 5 times slower at first, as fast as"
        " the others after 10 s. Clients give up after 1 s.",
        rolling_deploy,
        contenders=FIELD + WARMED,
        drawn=("errors, %", "p99, ms"),
    ),
    Scenario(
        "zone-loss",
        "A zone of three goes dark: calls that failed, and calls across zones before",
        "3 zones with 6 instances each, which work on 2 calls at a time, 50 ms on average; 30 clients, 10 in each zone,"
        " with 324 calls a second in all: 45 % load; an answer from another zone takes 2 ms more. At 20 s the"
        " instances of one zone stop answering, at 30 s they are gone from the registry, at 60 s they are back; the run"
        " ends at 80 s. Clients give up after 1 s. For `tiers`, the third zone is a standby.",
        zone_loss,
        contenders=FIELD + ZONED,
        drawn=("errors from the loss on, %", "across zones before, %"),
    ),
    Scenario(
        "weights",
        "Instances of weights 0.5 to 4: how far the calls are from the weights, and answer times",
        "6 instances of the weights 1, 1, 2, 4, 0.5 and 4, which work on twice as many calls at a time, 50 ms each on"
        " average; 10 clients, at 10 % and at 75 % load. `furthest` is the one instance whose part of the calls is"
        " furthest from its part of the weights.",
        weights,
        drawn=("furthest from its weight, 75 % load, %", "p99, 75 % load, ms"),
    ),
)
