"""Which strategy is right when? Simulates the published results first, then every scenario with the whole field.

    python -m benchmarks.balancing [--scenario NAME] [--seed N] [--quick] [-o json]

A full run of a scenario writes its table into docs/explanation/balancing.md and its picture beside that page. Exit
status 1: a published result is not reproduced, or (in a full run) a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.balancing import report
from tests.simulation.contenders import DEFAULT
from tests.simulation.published import SOURCES, Figure
from tests.simulation.scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from benchmarks.balancing.report import Rows

PUBLISHED = "published"
SEED = 1
QUICK = 0.1  # of the full length


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.balancing", description=(__doc__ or "").partition("\n")[0])
    names = [PUBLISHED, *(scenario.name for scenario in SCENARIOS)]
    parser.add_argument("--scenario", choices=names, help="only this one; all if not given")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of all that is left to chance; {SEED} if not given")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the length, docs untouched: to see that it runs"
    )
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    chosen = [scenario for scenario in SCENARIOS if asked.scenario in {None, scenario.name}]
    sources = SOURCES if asked.scenario in {None, PUBLISHED} else ()
    steps = len(sources) + sum(len(scenario.contenders) for scenario in chosen)
    figures: list[Figure] = []
    results: dict[str, Rows] = {}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=steps)
        for source in sources:
            progress.update(task, description=f"published by {source.__name__}")
            figures += source(asked.seed, asked.quick)
            progress.advance(task)
        for scenario in chosen:
            rows = results[scenario.name] = {}
            for contender in scenario.contenders:
                progress.update(task, description=f"{scenario.name}: {contender.name}")
                rows[contender.name] = scenario.run(contender, asked.seed, QUICK if asked.quick else 1.0)
                progress.advance(task)

    if asked.output == "json":
        json.dump(report.as_json(results, figures), sys.stdout, indent=2)
        sys.stdout.write("\n")
    good = show(figures, chosen, results, Console(stderr=asked.output == "json"), quick=asked.quick)
    if not asked.quick:
        write(figures, chosen, results)
    return 0 if good else 1


def show(
    figures: list[Figure], chosen: list[Scenario], results: dict[str, Rows], console: Console, *, quick: bool
) -> bool:
    """Tables and verdicts; whether all is as it must be."""
    good = all(figure.holds for figure in figures)
    if figures:
        console.print(report.published_table(figures))
    for scenario in chosen:
        rows = results[scenario.name]
        console.print(report.terminal_table(scenario.title, rows, peers_of(scenario)))
        if quick:  # short runs say nothing about targets: most of the errors are those of learning
            continue
        for column, value, limit, holds in report.verdicts(scenario, rows, peers_of(scenario), DEFAULT.name):
            good &= holds
            word = "holds" if holds else "MISSED"
            console.print(f"  {DEFAULT.name}, {column}: {report.number(value)}, at most {report.number(limit)}: {word}")
    return good


def write(figures: list[Figure], chosen: list[Scenario], results: dict[str, Rows]) -> None:
    """Tables and pictures into the docs."""
    if figures:
        report.put_into_page(PUBLISHED, report.published_markdown(figures))
    for scenario in chosen:
        rows, peers = results[scenario.name], peers_of(scenario)
        report.draw(scenario, rows, peers, DEFAULT.name)
        picture = f"![{scenario.title}](balancing/{scenario.name}.svg)"
        report.put_into_page(scenario.name, f"{scenario.text}\n\n{picture}\n\n{report.markdown(rows, peers)}")


def peers_of(scenario: Scenario) -> set[str]:
    return {contender.name for contender in scenario.contenders if not contender.ours}


if __name__ == "__main__":
    sys.exit(main())
