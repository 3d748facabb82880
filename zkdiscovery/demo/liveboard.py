"""The live board, drawn by rich (in the extra `cli`)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from zkdiscovery.demo.board import CONDITIONS, HEADINGS, client_line, rows, verdict
from zkdiscovery.demo.run import DemoRun
from zkdiscovery.demo.steps import STEPS

LINGER = 2.0  # seconds
EVENTS = 6  # lines of what happened last
REDRAWS = 5  # a second
PICTURE_WIDTH = 80  # characters

STYLES = {
    "UP": "green", "STARTING": "yellow", "DRAINING": "yellow",
    "running": "green", "stopping": "yellow", "stopped": "dim", "killed": "red", "failed": "bold red",
}  # fmt: skip


class LiveBoard:
    """A table that is drawn anew five times a second."""

    linger = LINGER

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._drawn = False

    def show(self, line: str) -> None:
        """Print the line until the board is drawn, which shows the last events itself."""
        if not self._drawn:
            self._console.print(line, style="dim", markup=False)

    @contextmanager
    def live(self, run: DemoRun) -> Iterator[None]:
        """Draw the run for the time of the block."""
        self._drawn = True
        with Live(get_renderable=lambda: board(run), console=self._console, refresh_per_second=REDRAWS):
            yield

    def announce(self, run: DemoRun) -> None:
        """Do nothing, because the board shows which step runs."""

    def summary(self, run: DemoRun) -> None:
        """Print a table of the findings, and the events if not all is as expected."""
        if not all(finding.held for finding in run.findings):
            self._console.print("", *run.events, sep="\n", markup=False)
        self._console.print("", findings(run))


def board(run: DemoRun) -> Group:
    """The step, the instances, the client, and the last events."""
    table = _table()
    for heading in HEADINGS:
        number = heading in {"calls", "failed", "median"}
        table.add_column(heading, justify="right" if number else "left", no_wrap=heading != "leads")
    for row in rows(run):
        cells = [Text(cell, STYLES.get(cell, "dim" if cell in {"–", "0"} else "")) for cell in row]
        if row.leads != "–":
            cells[-1].stylize("bold magenta")
        table.add_row(*cells)
    events = [Text(line, "dim", overflow="ellipsis", no_wrap=True) for line in list(run.events.copy())[-EVENTS:]]
    padding = [""] * (EVENTS - len(events))  # one height from the start
    client = Text(client_line(run), "yellow" if run.payments.snapshot.stale else "")
    return Group(_step(run), "", table, "", client, "", *events, *padding)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _step(run: DemoRun) -> Text:
    _, title, _ = STEPS[max(0, run.step - 1)]
    return Text.assemble((f"{run.elapsed:5.1f} s  step {run.step} of {len(STEPS)}: ", "dim"), (title, "bold"))


def findings(run: DemoRun) -> Group:
    """Show what was measured, what was expected, and whether it held."""
    table = _table()
    for heading in ("step", "measured", "", "expected", ""):
        table.add_column(heading)
    last = 0
    for step, what, measured, expected, held in run.findings:
        name = STEPS[step - 1][0] if step != last else ""
        mark = Text("✓", "bold green") if held else Text("✗", "bold red")
        table.add_row(Text(name, "bold"), what, measured, Text(expected, "dim"), mark)
        last = step
    good = all(finding.held for finding in run.findings)
    return Group(table, "", Text(CONDITIONS, "dim"), Text(verdict(run), "bold green" if good else "bold red"))


def save_picture(run: DemoRun, path: Path) -> None:
    """Write board and findings as SVG. It holds process names and loopback ports, and loads nothing from elsewhere."""
    console = Console(
        record=True, width=PICTURE_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor",
        highlight=False, legacy_windows=False,
    )  # fmt: skip
    console.print(board(run), "", findings(run), sep="\n")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="make demo"), flags=re.DOTALL)
    # Some renderers drop the spaces at the start of a text otherwise.
    path.write_text(svg.replace("<svg ", '<svg xml:space="preserve" ', 1), encoding="utf-8")
