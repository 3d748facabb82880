"""Tables of what the questions answered, from results/*.json: for the terminal, and for docs/explanation/scale.md.

    python -m benchmarks.tables      # write the tables and the pictures of the page anew

A full run of all questions does that at its end. What the page shows is of one run, or it is not written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import carry
from benchmarks.balancing.report import number, put_into_page
from benchmarks.common import RESULTS
from benchmarks.figures import OURS, Figure, Row, growths
from benchmarks.peers import PEERS, peer_of

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "scale.md"
PICTURES = PAGE.with_suffix("")
QUESTIONS = (
    "start", "pick", "fill", "memory", "change", "storm", "register", "reconnect", "election", "locks", "fanout",
    "carry", "idle", "updates",
)  # fmt: skip
GROWING = ("fill", "change", "memory", "pick")
DRAWN = {
    "pick": [f"pick, {way}" for way in ("round_robin", "p2c_ewma", "least_in_flight", "maglev", "attempt")]
}  # or all
CORE = 0.5  # of one core: what a server is given to do here, at most
LOADS = ((200, 1_000, 10), (1_000, 1_000, 5), (2_000, 10_000, 5), (10_000, 10_000, 1), (10_000, 100_000, 10))

MISSED = "**MISSED**"

Sheet = list[list[str]]  # the first row is the header; a cell in ** is bad, or bold


class Result(NamedTuple):
    """What one question answered; see `common.main`."""

    title: str
    seconds: float
    run: str
    quick: bool
    versions: Mapping[str, Any]
    rows: Sequence[Row]
    verdicts: Sequence[Mapping[str, Any]]


Results = Mapping[str, Result]


def load(names: Sequence[str] = QUESTIONS) -> dict[str, Result]:
    """Those of the questions that have an answer."""
    found = {}
    for name in names:
        path = RESULTS / f"{name}.json"
        if path.exists():
            answer = json.loads(path.read_text())
            rows = [
                Row(
                    row["what"],
                    row["unit"],
                    {way: Figure(**each) for way, each in row["figures"].items()},
                    (),
                    row["size"],
                )
                for row in answer["rows"]
            ]
            found[name] = Result(
                answer["question"], answer["seconds"], answer.get("run", ""), answer["quick"], answer["versions"], rows,
                answer["verdicts"],
            )  # fmt: skip
    return found


# -- what they say together --


def targets(results: Results) -> Sheet:
    """What is to be reached, beside the peers' own table: of several sizes the one with the worst ratio."""
    worst: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for name, result in results.items():
        for verdict in result.verdicts:
            if verdict["factor"] == 1 and peer_of(verdict["of"]):
                continue
            key = name, verdict["what"], verdict["target"]
            if key not in worst or share(verdict) > share(worst[key]):
                worst[key] = verdict
    return [["question", "what", "target", "measured", "ratio to the target", "met"]] + [
        [
            name,
            verdict["row"],
            target,
            verdict["value"],
            "–" if verdict["ratio"] is None else number(verdict["ratio"]),
            {True: "yes", False: MISSED, None: "unknown"}[verdict["met"]],
        ]
        for (name, _, target), verdict in worst.items()
    ]


def share(verdict: Mapping[str, Any]) -> float:
    """Of what the target allows; nothing where it is unknown."""
    return verdict["ratio"] or 0.0


def peers(results: Results) -> Sheet:
    """How many times ours each peer takes, in the best of its ways; of several sizes the one with the least ratio."""
    sheet = [["question", "what", *PEERS]]
    for name, result in results.items():
        for what, unit in dict.fromkeys((row.what, row.unit) for row in result.rows):
            ratios: dict[str, list[float]] = {}
            for row in result.rows:
                if (row.what, row.unit) == (what, unit):
                    for peer, value in best_ways(row).items():
                        ratios.setdefault(peer, []).append(times(value, row.figures[OURS].median))
            if ratios:
                cells = (
                    f"{number(min(ratios[peer]))} x".replace("inf", "∞") if peer in ratios else "–" for peer in PEERS
                )
                behind = {peer for peer, found in ratios.items() if min(found) < 1}
                marked = (f"**{cell}**" if peer in behind else cell for peer, cell in zip(PEERS, cells, strict=True))
                sheet.append([name, f"{what}, {unit}", *marked])
    return sheet


def best_ways(row: Row) -> dict[str, float]:
    """What each peer takes."""
    best: dict[str, float] = {}
    for way, figure in row.figures.items():
        if peer := peer_of(way):
            best[peer] = min(figure.median, best.get(peer, math.inf))
    return best


def times(value: float, ours: float) -> float:
    """How many times ours it is."""
    return value / ours if ours else (math.inf if value else 1.0)


def growing(results: Results) -> Sheet:
    """Exponents with their standard errors."""
    sheet = [["", OURS, "at the end", "beside it"]]
    for name in GROWING:
        if name not in results:
            continue
        for what, ways in growths(drawn(name, results[name])).items():
            if len(ways) > 1:
                beside = "; ".join(f"{way} {growth}" for way, growth in ways.items() if way != OURS)
                sheet.append([what, str(ways[OURS]), f"N^{ways[OURS].last:.2f}", beside])
    return sheet


def drawn(name: str, result: Result) -> Sequence[Row]:
    """What of a question is drawn, and told the growth of."""
    return [row for row in result.rows if row.what in DRAWN.get(name, [row.what])]


# -- what one server carries --


def models(results: Results) -> tuple[carry.Costs, carry.Costs]:
    """The least and the most that things take."""
    rows = results["carry"].rows
    return carry.Costs.of(rows, carry.TOGETHER), carry.Costs.of(rows, OURS)


def between(ends: Sequence[str]) -> str:
    """As in 2 – 3."""
    return " – ".join(dict.fromkeys(ends))


def terms(results: Results) -> Sheet:
    """What one of each takes of a server."""
    sheet = [["of one server", "alone", carry.TOGETHER, "in bulk"]]
    for row in results["carry"].rows:
        if row.what != carry.ADDITION:
            bulk = (
                f"{number(each.median)} {row.unit}, {way}"
                for way, each in row.figures.items()
                if way in {carry.TRANSACTIONS, carry.BULK}
            )
            both = (row.figures.get(way) for way in (OURS, carry.TOGETHER))
            cells = (f"{number(each.median)} {row.unit}" if each else "–" for each in both)
            sheet.append([row.what, *cells, next(bulk, "–")])
    return sheet


def checks(results: Results) -> Sheet:
    """What the model foretells, beside what was measured: bare sockets, and clients of ours."""
    sheet = [["server's CPU for", "consumers", "model", "measured"]]

    def add(what: str, people: int, seconds: Callable[[carry.Costs], float], row: Row) -> None:
        ends = [number(seconds(costs) * 1e3) for costs in models(results)]
        sheet.append([what, f"{people:,}", f"{between(ends)} ms", f"{number(row.figures[OURS].median)} ms"])

    for row in results["carry"].rows:
        if row.what == carry.ADDITION and (people := row.size):
            add("an addition, bare sockets", people, lambda costs, people=people: costs.change(people), row)  # type: ignore[misc]
    rows = results["fanout"].rows if "fanout" in results else ()
    took = {row.size: row.figures[OURS].median / 1e3 for row in rows if row.what.startswith("one change until")}
    for row in rows:
        if row.what.startswith("server's CPU"):
            people, seconds = int(re.findall(r"\d+", row.what)[-1]), took[row.size]
            change = partial(carry.Costs.load, changes=1 / seconds, consumers=people, sessions=people)
            add(f"a change of {row.size:,} instances, clients", people, lambda costs: change(costs) * seconds, row)  # noqa: B023
    return sheet


def loads(results: Results) -> Sheet:
    """What the model says of some loads, and how many servers they take."""
    sheet = [["consumers", "instances", "changes a second", "cores of one server", f"servers at {CORE:.0%} of a core"]]
    for people, instances, changes in LOADS:
        cores, servers = [], []
        for costs in models(results):
            whole, written = costs.load(changes, people, people + instances), changes * costs.write
            cores.append(number(whole))
            servers.append(f"{max(1, math.ceil((whole - written) / (CORE - written))):,}")  # each has all writes
        sheet.append([f"{people:,}", f"{instances:,}", f"{changes:,}", between(cores), between(servers)])
    return sheet


def measured_with(results: Results) -> Sheet:
    """The run, and what took part in it."""
    versions = {key: value for result in results.values() for key, value in result.versions.items()}
    run = next(iter({result.run for result in results.values()}), "")
    return [["run", *versions], [run, *map(str, versions.values())]]


def figures(name: str, results: Results) -> Sheet:
    """All figures of one question: medians, and how many times ours the others are."""
    rows = results[name].rows
    ways = [OURS, *dict.fromkeys(way for row in rows for way in row.figures if way != OURS)]
    sheet = [["", *ways]]
    for row in rows:
        ours, cells = row.figures[OURS].median, [row.label]
        for way in ways:
            figure = row.figures.get(way)
            text = f"{number(figure.median)} {row.unit}" if figure else "–"
            cells.append(f"{text} ({number(figure.median / ours)} x)" if figure and ours and way != OURS else text)
        sheet.append(cells)
    return sheet


SHEETS: dict[str, Callable[[Results], Sheet]] = {
    **{name: partial(figures, name) for name in QUESTIONS},
    "targets": targets, "peers": peers, "growth": growing, "terms": terms, "checks": checks, "loads": loads,
    "run": measured_with,
}  # fmt: skip


# -- where they are shown --


def markdown(sheet: Sheet) -> str:
    """As a page has it."""
    header, *rows = sheet
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def show(title: str, sheet: Sheet, console: Console) -> None:
    """As a terminal has it."""
    header, *rows = sheet
    table = Table(title=title, title_justify="left")
    for name in header:
        table.add_column(name)
    for cells in rows:
        table.add_row(*(re.sub(r"\*\*(.*)\*\*", r"[bold red]\1[/]", cell) for cell in cells))
    console.print(table, highlight=False)


def shown_in(page: Path = PAGE) -> list[str]:
    """The names of the tables that the page has a place for."""
    return re.findall(r"<!-- (?!end of )(.+?) -->", page.read_text())


def publish() -> None:
    """Write the tables and the pictures of the page.

    Raises:
        ValueError: the results are not all of one full run, or one of them is empty; nothing is written.
    """
    results = load()
    runs = {(result.run, result.quick) for result in results.values() if result.rows}
    if set(results) != set(QUESTIONS) or len(runs) != 1 or not all(run and not quick for run, quick in runs):
        raise ValueError(
            f"{PAGE.name} stays as it is: the results are not all of one full run of `python -m benchmarks`"
        )
    if empty := [name for name, result in results.items() if not result.rows]:
        raise ValueError(f"{PAGE.name} stays as it is: nothing was measured by {', '.join(empty)}")
    from benchmarks.pictures import draw  # noqa: PLC0415 - tests have no matplotlib

    for name in shown_in():
        put_into_page(name, markdown(SHEETS[name](results)), PAGE)
    for name, result in results.items():
        draw(result.title, drawn(name, result), PICTURES / f"{name}.svg")


if __name__ == "__main__":
    publish()
