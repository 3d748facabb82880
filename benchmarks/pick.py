"""What does a pick cost, and does it depend on the number of instances?

Every figure is a ratio to `random.choice` on the list of the same instances, measured in turns with it in the same run:
ratios travel from machine to machine, nanoseconds do not. Measured is what a user calls, `Service.pick()` and
`with Service.attempt()`, on a view that was filled without ZooKeeper. `next` on an `itertools.cycle` is the floor: what
the interpreter takes at least. Then: what building costs, and what threads that pick notice of changes of the set.

    python benchmarks/pick.py [--quick]

Writes results/pick.json and results/pick.svg beside this file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import random
import sys
import threading
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zkdiscovery.balancing import Ejection, Endpoint, Outcome, Pool, resolve_balancer
from zkdiscovery.discovery.cache import difference
from zkdiscovery.discovery.service import Attachment, Service
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
RESULTS = Path(__file__).parent / "results"


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
    nobody: Any = None  # no cache and no dispatcher: nothing but memory is read
    view = Service(
        "payments",
        partial(Pool, resolve_balancer(strategy), ejection=Ejection()),
        None,
        lambda _: Attachment(nobody, nobody, detach=lambda: None),
    )
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


def print_table(title: str, rows: dict[str, dict[str, float]], form: str, targets: dict[str, float]) -> None:
    print(f"\n{title}\n")
    columns = list(next(iter(rows.values())))
    width = max(map(len, columns))
    print(" " * width, *(f"{name:>10}" for name in rows), "    target")
    for column in columns:
        limit = f"at most {targets[column]:g}" if column in targets else ""
        cells = (f"{row[column]:10{form}}" if column in row else f"{'-':>10}" for row in rows.values())
        print(f"{column:{width}}", *cells, f"    {limit}".rstrip())


def draw(ratios: dict[str, dict[str, float]]) -> str:
    """The ratios as an SVG of horizontal bars, a group of bars for each way to pick."""
    ways = list(next(iter(ratios.values())))
    shades = ("#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08519c")
    longest = 10.0  # times; a longer bar is cut off
    bar, gap, left, unit = 11, 14, 150, 420 / longest
    group = bar * len(ratios) + gap
    height = 60 + group * len(ways)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{height}" font-family="sans-serif">',
        f'<rect width="640" height="{height}" fill="white"/>',
        '<text x="10" y="18" font-size="13">Cost of a pick, in times random.choice on the same instances</text>',
    ]
    for row, way in enumerate(ways):
        top = 50 + row * group
        parts.append(f'<text x="10" y="{top + group // 2 - 2}" font-size="11">{way}</text>')
        for column, values in enumerate(ratios.values()):
            if way not in values:
                continue
            y, length = top + column * bar, min(values[way], longest) * unit
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 1}" fill="{shades[column]}"/>')
            parts.append(f'<text x="{left + length + 4:.1f}" y="{y + bar - 2}" font-size="9">{values[way]:.2f}</text>')
    for column, size in enumerate(ratios):
        x = left + column * 90
        parts.append(f'<rect x="{x}" y="28" width="10" height="10" fill="{shades[column]}"/>')
        parts.append(f'<text x="{x + 14}" y="37" font-size="10">{size}</text>')
    one = left + unit
    parts.append(
        f'<line x1="{one:.1f}" y1="44" x2="{one:.1f}" y2="{height - 10}" stroke="#cb181d" stroke-dasharray="3"/>'
    )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs")
    quick = parser.parse_args().quick
    rounds, number = (3, 10_000) if quick else (15, 50_000)

    nanoseconds = {f"{size:,}": measure_picks(size, rounds, number) for size in SIZES}
    ratios = {
        size: {way: cost / row["random.choice"] for way, cost in row.items() if way != "random.choice"}
        for size, row in nanoseconds.items()
    }
    builds = {f"{size:,}": measure_builds(size, 3) for size in SIZES}

    python = f"{platform.python_implementation()} {platform.python_version()}"
    print_table(f"A pick, in times random.choice, by number of instances ({python})", ratios, ".2f", TARGETS)
    print_table("The same in nanoseconds", nanoseconds, ".0f", {})
    print_table("Building a picker, in milliseconds", builds, ".2f", BUILD_TARGETS)
    changes = {f"{size:,}": measure_changes(size, 0.2 if quick else 2.0) for size in SIZES[:3]}
    print_table("Picks of 4 threads with a change every 10 ms, in times those without", changes, ".2f", {})

    RESULTS.mkdir(exist_ok=True)
    result = {
        "python": python,
        "platform": sys.platform,
        "times_random_choice": ratios,
        "nanoseconds": nanoseconds,
        "build_milliseconds": builds,
        "picks_while_the_set_changes": changes,
        "targets": TARGETS,
        "build_targets": BUILD_TARGETS,
    }
    (RESULTS / "pick.json").write_text(json.dumps(result, indent=2) + "\n")
    (RESULTS / "pick.svg").write_text(draw(ratios))
    print(f"\nWritten: {RESULTS / 'pick.json'}, {RESULTS / 'pick.svg'}")


if __name__ == "__main__":
    main()
