"""Tables on a terminal and in the docs, and pictures: one style for all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.simulation.published import Figure
    from tests.simulation.scenarios import Scenario

EXPLANATION = Path(__file__).parents[2] / "docs" / "explanation"
PAGE = EXPLANATION / "balancing.md"
PICTURES = EXPLANATION / "balancing"

Rows = dict[str, dict[str, float]]  # contender → column → value


def number(value: float) -> str:
    """Three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or not value else f"{value:.4f}"


def verdicts(scenario: Scenario, rows: Rows, peers: set[str], default: str) -> list[tuple[str, float, float, bool]]:
    """For each target: column, value of the default strategy, what it must not exceed, whether it holds."""
    found = []
    for column, target in (scenario.targets or {}).items():
        best = min(row[column] for name, row in rows.items() if name in peers)
        limit = target.limit * (best if target.of_the_best_peer else 1.0)
        value = rows[default][column]
        found.append((column, value, limit, value <= limit))
    return found


def terminal_table(title: str, rows: Rows, peers: set[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("strategy")
    columns = list(next(iter(rows.values())))
    for column in columns:
        table.add_column(column, justify="right")
    for name, row in rows.items():
        table.add_row(name, *(number(row[column]) for column in columns), style="dim" if name in peers else "")
    return table


def published_table(figures: Sequence[Figure]) -> Table:
    table = Table(title="What others have published, simulated", title_justify="left")
    for column in ("source", "figure", "published", "simulated", "tolerated", ""):
        table.add_column(column, justify="right" if column in {"published", "simulated", "tolerated"} else "left")
    for each in figures:
        table.add_row(
            each.source,
            each.what,
            number(each.published),
            number(each.simulated),
            f"{number(each.lowest)} – {number(each.highest)}",
            "yes" if each.holds else "NO",
        )
    return table


def markdown(rows: Rows, peers: set[str]) -> str:
    """A table in which the best value of each column is bold; peers are in italics."""
    columns = list(next(iter(rows.values())))
    best = {
        column: min(number(row[column]) for row in rows.values() if row[column] == lowest(rows, column))
        for column in columns
    }
    lines = [f"| strategy | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name, row in rows.items():
        cells = [f"**{text}**" if (text := number(row[column])) == best[column] else text for column in columns]
        lines.append(f"| {f'*{name}*' if name in peers else f'`{name}`'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def lowest(rows: Rows, column: str) -> float:
    return min(row[column] for row in rows.values())


def published_markdown(figures: Sequence[Figure]) -> str:
    lines = ["| source | figure | published | simulated | tolerated |", "|---|---|---:|---:|---:|"]
    for each in figures:
        simulated = number(each.simulated) + ("" if each.holds else " (!)")
        tolerated = f"{number(each.lowest)} – {number(each.highest)}"
        lines.append(f"| {each.source} | {each.what} | {number(each.published)} | {simulated} | {tolerated} |")
    return "\n".join(lines)


def put_into_page(name: str, text: str, path: Path = PAGE) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end of NAME -->` in a page."""
    page = path.read_text()
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


OURS, DEFAULT, PEERS, LIMIT = "#4292c6", "#08519c", "#bdbdbd", "#cb181d"


def draw(scenario: Scenario, rows: Rows, peers: set[str], default: str) -> None:
    """Bars for every contender, the best of the first column on top; logarithmic, and none for 0."""
    import matplotlib as mpl  # noqa: PLC0415 - only pictures need it

    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "zkdiscovery", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    )
    from matplotlib import pyplot as plt  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415
    from matplotlib.patches import Patch  # noqa: PLC0415
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    columns = scenario.drawn or tuple(next(iter(rows.values())))
    names = sorted(rows, key=lambda name: tuple(rows[name][column] for column in columns), reverse=True)
    figure, panels = plt.subplots(
        1,
        len(columns),
        sharey=True,
        squeeze=False,
        figsize=(3.1 + 3.3 * len(columns), 1.3 + 0.2 * len(names)),
        layout="constrained",
    )
    limits = {column: limit for column, _, limit, _ in verdicts(scenario, rows, peers, default)}
    for panel, column in zip(panels[0], columns, strict=True):
        values = [rows[name][column] for name in names]
        least = min((value for value in values if value > 0), default=1.0) / 2.0
        shades = [DEFAULT if name == default else PEERS if name in peers else OURS for name in names]
        if column in limits:
            panel.axvline(limits[column], color=LIMIT, linestyle="--", linewidth=1)
        panel.barh(names, values, color=shades, left=0)
        for place, value in enumerate(values):
            panel.text(
                max(value * 1.06, least), place, number(value), va="center", fontsize=7,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},
            )  # fmt: skip
        panel.set_xscale("log")
        panel.set_xlim(least * 0.8, max(values) * 3.5)
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if max(values) < 100 * least else (1.0,), numticks=6))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel(column)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
        panel.margins(y=0.01)
    keys: list[Any] = [
        Patch(color=DEFAULT, label="our default"),
        Patch(color=OURS, label="ours"),
        Patch(color=PEERS, label="peers"),
    ]
    if limits:
        keys.append(Line2D([], [], color=LIMIT, linestyle="--", linewidth=1, label="target"))
    figure.suptitle(scenario.title, fontsize=10, x=0.01, ha="left")
    figure.legend(handles=keys, loc="outside lower right", ncols=len(keys), frameon=False, fontsize=8)
    PICTURES.mkdir(exist_ok=True)
    figure.savefig(PICTURES / f"{scenario.name}.svg", metadata={"Date": None}, facecolor="white")
    plt.close(figure)


def as_json(results: Mapping[str, Rows], figures: Sequence[Figure]) -> dict[str, object]:
    return {
        "published": [{**each._asdict(), "holds": each.holds} for each in figures],
        "scenarios": results,
    }
