"""The output of the demo: a live board on a terminal, plain lines elsewhere.

Threads: any thread shows a line; the live board is drawn by rich's thread, from values that are replaced whole.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import NamedTuple, Protocol

from zkdiscovery.demo.node import DRAIN_DELAY, SESSION_TIMEOUT
from zkdiscovery.demo.processes import Node
from zkdiscovery.demo.run import DemoRun
from zkdiscovery.demo.steps import STEPS


class Board(Protocol):
    """A display of the demo."""

    linger: float  # seconds to wait after each step

    def show(self, line: str) -> None:
        """Show a line about what happens (any thread)."""

    def live(self, run: DemoRun) -> AbstractContextManager[None]:
        """Show the run for the time of the block."""

    def announce(self, run: DemoRun) -> None:
        """Show that a step begins."""

    def summary(self, run: DemoRun) -> None:
        """Show what was found."""


class Row(NamedTuple):
    """One line of the table, as text."""

    name: str
    port: str
    process: str
    seen: str
    calls: str
    failed: str
    latency: str
    leads: str


HEADINGS = Row("node", "port", "process", "seen as", "calls", "failed", "median", "leads")


def rows(run: DemoRun) -> list[Row]:
    """The table: what the processes do, and what the client knows of them."""
    return [_row(run, node) for node in run.processes.nodes]


def _row(run: DemoRun, node: Node) -> Row:
    counts = run.caller.of(node.name)
    term = node.leadership
    lease = term.lease_end - time.monotonic() if term is not None else 0.0
    return Row(
        node.name,
        str(node.port or "–"),
        node.process,
        run.seen(node.name) or "–",
        str(counts.answered),
        str(counts.failed),
        f"{median(counts.seconds) * 1000:.1f} ms" if counts.seconds else "–",
        f"{lease:.1f} s left, fence {term.fence}" if term is not None and lease > 0 else "–",
    )


def client_line(run: DemoRun) -> str:
    """The state of the client, its cache and its calls."""
    snapshot = run.payments.snapshot
    cache = "empty" if not snapshot.loaded else f"stale for {snapshot.age:.1f} s" if snapshot.stale else "fresh"
    return f"client: {run.client.state}, cache {cache}; calls: {run.caller.totals}"


CONDITIONS = f"Session timeout {SESSION_TIMEOUT:g} s, drain delay {DRAIN_DELAY:g} s; median of the last 100 answers."


def verdict(run: DemoRun) -> str:
    """The last line."""
    wrong = sum(not finding.held for finding in run.findings)
    if wrong:
        return f"{wrong} of {len(run.findings)} measurements are not as expected."
    return f"All {len(run.findings)} measurements are as expected."


class PlainLines:
    """Lines of text, no control characters."""

    linger = 0.0  # seconds

    def show(self, line: str) -> None:
        """Print the line in one write, because lines of several threads must not mix.

        If nobody reads the output any more, the demo ends as on Ctrl-C.
        """
        try:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            os.kill(os.getpid(), signal.SIGINT)  # the main thread takes it

    @contextmanager
    def live(self, run: DemoRun) -> Iterator[None]:
        """Print the table at the end; lines come as things happen."""
        yield
        self._table(run)

    def announce(self, run: DemoRun) -> None:
        """Show the table after the step before, and a heading."""
        if run.step > 1:
            self._table(run)
        name, title, _ = STEPS[run.step - 1]
        self.show(f"\n{name}: {title}")

    def summary(self, run: DemoRun) -> None:
        """Print one line for each finding."""
        self.show("\nWhat was measured")
        for step, what, measured, expected, held in run.findings:
            self.show(f"  {'✓' if held else '✗'} {STEPS[step - 1][0]}: {what}: {measured} (expected: {expected})")
        self.show(CONDITIONS)
        self.show(verdict(run))

    def _table(self, run: DemoRun) -> None:
        lines = (HEADINGS, *rows(run))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
            self.show(f"    {'  '.join(cells)}".rstrip())
        self.show(f"    {client_line(run)}")
