"""What does a pick cost, and does it depend on the number of instances?

Every figure is a ratio to `random.choice` on the list of the same instances, measured in turns with it in the same run:
ratios travel from machine to machine, nanoseconds do not. Measured is what a user calls, `Service.pick()` and
`with Service.attempt()`, on a view that was filled without ZooKeeper.

    python benchmarks/pick.py [--quick]

Writes results/pick.json and results/pick.svg beside this file.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import timeit
from functools import partial
from pathlib import Path
from typing import Any

from zkdiscovery.balancing import Ejection, Endpoint, Outcome, Pool, resolve_balancer
from zkdiscovery.discovery.cache import difference
from zkdiscovery.discovery.service import Attachment, Service
from zkdiscovery.model import Instance, Snapshot

SIZES = (10, 100, 1_000, 10_000, 100_000)
STRATEGIES = ("round_robin", "p2c_ewma", "random", "weighted")
TARGETS = {"round_robin": 1.0, "p2c_ewma": 1.0, "attempt": 8.0}  # times random.choice
BUILD_TARGET = 50.0  # ms for 100,000 instances
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
    views = {strategy: make_view(strategy, instances) for strategy in STRATEGIES}
    for view in views.values():  # every endpoint has answered, as in a process that has run for a while
        for _ in range(2 * size):
            attempt_on(view)
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "random.choice": ("choice(instances)", {"choice": random.choice, "instances": instances}),
        **{strategy: ("view.pick()", {"view": view}) for strategy, view in views.items()},
        "attempt": ("with view.attempt(): pass", {"view": views["p2c_ewma"]}),
    }
    timers = {way: timeit.Timer(statement, globals=names) for way, (statement, names) in ways.items()}
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(rounds):
        for way, timer in timers.items():
            best[way] = min(best[way], timer.timeit(number) / number * 1e9)
    return best


def measure_builds(size: int, rounds: int) -> dict[str, float]:
    """Milliseconds that the worker takes to build a picker, the best of all rounds; weights all equal, and not."""
    best: dict[str, float] = {}
    for weighted in (False, True):
        endpoints = tuple(Endpoint(instance) for instance in make_instances(size, weighted=weighted))
        for endpoint in endpoints:
            endpoint.finished(endpoint.started(), Outcome.SUCCESS)
        for strategy in STRATEGIES:
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
        cells = (f"{row[column]:10{form}}" for row in rows.values())
        print(f"{column:{width}}", *cells, f"    {limit}".rstrip())


def draw(ratios: dict[str, dict[str, float]]) -> str:
    """The ratios as an SVG of horizontal bars, a group of bars for each way to pick."""
    ways = list(next(iter(ratios.values())))
    shades = ("#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08519c")
    bar, gap, left, unit = 11, 14, 110, 460 / max(max(row.values()) for row in ratios.values())
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
            y, length = top + column * bar, values[way] * unit
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
    print_table("Building a picker, in milliseconds", builds, ".2f", dict.fromkeys(builds["10"], BUILD_TARGET))

    RESULTS.mkdir(exist_ok=True)
    result = {
        "python": python,
        "platform": sys.platform,
        "times_random_choice": ratios,
        "nanoseconds": nanoseconds,
        "build_milliseconds": builds,
        "targets": TARGETS | {"build": BUILD_TARGET},
    }
    (RESULTS / "pick.json").write_text(json.dumps(result, indent=2) + "\n")
    (RESULTS / "pick.svg").write_text(draw(ratios))
    print(f"\nWritten: {RESULTS / 'pick.json'}, {RESULTS / 'pick.svg'}")


if __name__ == "__main__":
    main()
