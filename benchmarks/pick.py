"""What does a pick cost, and does it depend on the number of instances?

Every figure is a ratio to `random.choice` on the list of the same instances, measured in turns with it in the same run:
ratios travel from machine to machine, nanoseconds do not. Measured is what a user calls, `Service.pick()` and `with
Service.attempt()`, on a view that was filled without ZooKeeper. `next` on an `itertools.cycle` is the floor: what the
interpreter takes at least; Curator's is a ServiceProvider, round robin. kazoo and tooz pick nothing. Then: what
building costs, and what threads that pick notice of changes of the set.

    python -m benchmarks.pick [--quick]
"""

from __future__ import annotations

import itertools
import random
import threading
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.common import Bench, main
from benchmarks.figures import OURS, Figure, Row, Target
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, curator, for_curator
from benchmarks.published import published
from tests.support import view_without_client
from zkdiscovery.balancing import Ejection, Endpoint, Outcome, Pool, resolve_balancer
from zkdiscovery.discovery import Service
from zkdiscovery.discovery.feed import difference
from zkdiscovery.model import Instance, Snapshot

SIZES = (10, 100, 1_000, 10_000, 100_000)
BY_KEY = ("maglev", "ring_hash", "rendezvous")
STRATEGIES = (
    "round_robin", "p2c_ewma", "random", "weighted", "weighted_round_robin", "least_in_flight", "sticky", "prefer_zone",
    "tiers", *BY_KEY,
)  # fmt: skip
SCANNING = {"rendezvous": 1_000}  # looks at every instance at each pick: up to this size
TARGETS = {"round_robin": 1.0, "p2c_ewma": 1.0, "maglev": 1.2, "attempt": 8.0}  # times random.choice
BUILD_TARGETS = {  # ms for 100,000 instances of equal weight
    f"{strategy}, equal weights": 50.0 for strategy in ("round_robin", "p2c_ewma", "random", "weighted")
}
FLOORS = ("random.choice", "itertools.cycle")
AS_CURATOR = "round_robin"  # what Curator picks by
BESIDE_CURATOR = 10_000  # instances at most: it copies the list at each pick


def make_instances(size: int, *, weighted: bool) -> list[Instance]:
    return [
        Instance(
            "payments",
            f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}",
            8000,
            weight=1.0 + index % 7 * weighted,
            registered_at=1.7e9,
        )
        for index in range(size)
    ]


def make_view(strategy: str, instances: list[Instance]) -> Service:
    view = view_without_client("payments", partial(Pool, resolve_balancer(strategy), ejection=Ejection()))
    view.follow(difference(view.snapshot, Snapshot("payments", version=1, instances=tuple(instances), loaded=True)))
    return view


def attempt_on(view: Service) -> None:
    with view.attempt():
        pass


def measure_picks(size: int, rounds: int, number: int) -> dict[str, float]:
    """Nanoseconds for each way to pick, the best of all rounds."""
    instances = make_instances(size, weighted=True)
    views = {
        strategy: make_view(strategy, instances) for strategy in STRATEGIES if size <= SCANNING.get(strategy, size)
    }
    for strategy, view in views.items():  # every endpoint has answered, as in a process that has run for a while
        for _ in range(2 * size * (strategy not in SCANNING)):
            attempt_on(view)
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "random.choice": ("choice(instances)", {"choice": random.choice, "instances": instances}),
        "itertools.cycle": ("advance()", {"advance": itertools.cycle(instances).__next__}),
        **{
            strategy: (f"view.pick({'key' if strategy in BY_KEY else ''})", {"view": view, "key": "user-4711"})
            for strategy, view in views.items()
        },
        "attempt": ("with view.attempt(): pass", {"view": views["p2c_ewma"]}),
    }
    timers = {way: timeit.Timer(statement, globals=names) for way, (statement, names) in ways.items()}
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(rounds):
        for way, timer in timers.items():
            times = number if way not in SCANNING else max(1, number // size // 10)
            best[way] = min(best[way], timer.timeit(times) / times * 1e9)
    return best


def measure_changes(size: int, seconds: float, threads: int = 4) -> dict[str, float]:
    """Picks a second of all threads together, with a new snapshot every 10 ms, in times those without."""
    result = {}
    for strategy in ("round_robin", "p2c_ewma"):
        instances = make_instances(size, weighted=True)
        view = make_view(strategy, instances)
        rates = []
        for changing in (False, True):
            over = threading.Event()

            def pick(view: Service = view, over: threading.Event = over) -> int:
                done = 0
                while not over.is_set():
                    for _ in range(100):
                        view.pick()
                    done += 100
                return done

            with ThreadPoolExecutor(threads) as pool:
                counts = [pool.submit(pick) for _ in range(threads)]
                end = time.monotonic() + seconds
                while (now := time.monotonic()) < end:
                    if changing:
                        instances = [*instances[1:], replace(instances[0], weight=2.0 + now % 1)]
                        snapshot = Snapshot(
                            "payments", version=view.snapshot.version + 1, instances=tuple(instances), loaded=True
                        )
                        view.follow(difference(view.snapshot, snapshot))
                    over.wait(0.01)
                over.set()
                rates.append(sum(count.result() for count in counts) / seconds)
        result[strategy] = rates[1] / rates[0]
    return result


def measure_builds(size: int, rounds: int) -> dict[str, float]:
    """Milliseconds that the worker takes to build a picker, the best of all rounds; weights all equal, and not."""
    best: dict[str, float] = {}
    for weighted in (False, True):
        endpoints = tuple(Endpoint(instance) for instance in make_instances(size, weighted=weighted))
        for endpoint in endpoints:
            endpoint.finished(endpoint.started(), Outcome.SUCCESS)
        for strategy in STRATEGIES:
            if size > SCANNING.get(strategy, size):
                continue
            balancer = resolve_balancer(strategy)
            seconds = min(timeit.repeat(lambda: balancer.build(endpoints), number=1, repeat=rounds))  # noqa: B023
            best[f"{strategy}, {'unequal' if weighted else 'equal'} weights"] = seconds * 1e3
    return best


def measure_curator(bench: Bench, java: Curator, size: int) -> float:
    """Nanoseconds of a pick of Curator's ServiceProvider, the best of some rounds."""
    namespace, picks = bench.namespace(), 1_000_000 // size
    with published(bench, namespace, size, encode=for_curator):
        return min(java.ask(f"select {namespace}/services payments {picks}", "nanoseconds") for _ in range(3))


def rows(what: str, unit: str, by_size: dict[int, dict[str, float]], limits: dict[str, float]) -> list[Row]:
    """For each strategy its own, with what it is compared to."""
    found = []
    for way in dict.fromkeys(way for row in by_size.values() for way in row if way not in {*FLOORS, "Curator"}):
        others = (*FLOORS, "Curator") if way == AS_CURATOR else FLOORS
        for size, row in by_size.items():
            if way in row:
                figures = {
                    OURS: Figure.of([row[way]]),
                    **{other: Figure.of([row[other]]) for other in others if other in row},
                }
                targets = [Target(limits[way], FLOORS[0])] if way in limits else []
                found.append(Row(f"{what} {way}", unit, figures, targets + ahead(figures), size))
    return found


def measure(bench: Bench) -> list[Row]:
    """Picks, builds, and picks while the set changes."""
    repeats, times = (3, 5_000) if bench.quick else (15, 50_000)
    sizes = SIZES[:3] if bench.quick else SIZES
    picks, builds = {}, {}
    with curator(bench) as java:
        for size in sizes:
            bench.say(f"{size:,} instances")
            picks[size] = measure_picks(size, repeats, times)
            if java and size <= BESIDE_CURATOR:
                picks[size]["Curator"] = measure_curator(bench, java, size)
            builds[size] = measure_builds(size, 1 if bench.quick else 3)
    changes = {size: measure_changes(size, 0.2 if bench.quick else 2.0) for size in SIZES[: 1 if bench.quick else 3]}
    found = rows("pick,", "ns", picks, TARGETS)
    for row in rows("build,", "ms", builds, {}):
        limit = BUILD_TARGETS.get(row.what.removeprefix("build, "))
        found.append(row._replace(targets=[Target(limit)] if limit and row.size == SIZES[-1] else ()))
    return found + rows("picks with a change every 10 ms, over those without,", "x", changes, {})


if __name__ == "__main__":
    main(measure, __doc__)
