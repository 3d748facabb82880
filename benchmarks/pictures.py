"""Pictures of rows: cost against N on logarithmic axes where there are sizes, bars where there are none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update(
    {"svg.hashsalt": "zkdiscovery", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
)

from matplotlib import pyplot as plt  # noqa: E402 - after the choice of the backend
from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: E402

from benchmarks.balancing.report import DEFAULT, PEERS, number  # noqa: E402
from benchmarks.figures import OURS, Figure, Row, growths  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES = ("#d94801", "#238b45", "#6a51a3", "#737373", "#8c6d31", "#c51b8a")  # of the other ways, in order


ACROSS = 3  # panels


def draw(title: str, rows: Sequence[Row], path: Path) -> None:
    """A panel for everything that was measured in several ways."""
    subjects: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if len(row.figures) > 1:
            subjects.setdefault((row.what, row.unit), []).append(row)
    if not subjects:
        return
    across = min(ACROSS, len(subjects))
    down = math.ceil(len(subjects) / across)
    figure, grid = plt.subplots(
        down, across, squeeze=False, figsize=(1.2 + 3.6 * across, 0.9 + 2.6 * down), layout="constrained"
    )
    others = list(dict.fromkeys(way for row in rows for way in row.figures if way != OURS))
    shades = {OURS: DEFAULT, **{way: SHADES[place % len(SHADES)] for place, way in enumerate(others)}}
    panels = list(grid.flat)
    handles: dict[str, Any] = {}
    for panel, ((what, _), same) in zip(panels, subjects.items(), strict=False):
        if len(same) > 1:
            handles |= _lines(panel, same, shades)
        else:
            _bars(panel, same[0])
        panel.set_title(what, fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(subjects) :]:
        panel.set_visible(False)
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=ACROSS, frameon=False, fontsize=8
        )
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    plt.close(figure)


def _lines(panel: Axes, rows: Sequence[Row], shades: dict[str, str]) -> dict[str, Any]:
    """A line for each way, with its exponent; answers the lines."""
    (grown,) = growths(rows).values() or ({},)
    lines: dict[str, Any] = {}
    for way, shade in shades.items():
        points = [(row.size or 0, row.figures[way]) for row in rows if way in row.figures]
        if not points:
            continue
        sizes, figures = [size for size, _ in points], [figure for _, figure in points]
        lines[way] = panel.errorbar(
            sizes, [each.median for each in figures], yerr=_spread(figures), color=shade, marker="o", markersize=4,
            linewidth=2 if way == OURS else 1, capsize=2,
        )  # fmt: skip
    known = {way: str(grown[way]) for way in lines if way in grown}
    if known:
        panel.legend([lines[way] for way in known], list(known.values()), fontsize=6, handlelength=1.0, framealpha=0.6)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlabel("N")
    panel.set_ylabel(rows[0].unit)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_minor_formatter(NullFormatter())
    return lines


def _bars(panel: Axes, row: Row) -> None:
    ways = sorted(row.figures, key=lambda way: row.figures[way].median, reverse=True)
    figures = [row.figures[way] for way in ways]
    values: list[Any] = [figure.median for figure in figures]
    panel.barh(
        ways, values, xerr=_spread(figures), color=[DEFAULT if way == OURS else PEERS for way in ways], capsize=2
    )
    for place, figure in enumerate(figures):
        panel.text(figure.high * 1.04, place, number(figure.median), va="center", fontsize=7)
    panel.set_xlim(0, max(figure.high for figure in figures) * 1.25 or 1.0)
    panel.set_xlabel(row.unit)
    panel.tick_params(axis="y", length=0)


def _spread(figures: Sequence[Figure]) -> list[list[float]]:
    return [[each.median - each.low for each in figures], [each.high - each.median for each in figures]]
