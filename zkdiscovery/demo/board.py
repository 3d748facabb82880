"""What people see: a live board on a terminal, plain lines elsewhere.

Threads: any thread shows a line; the live board is drawn by rich's thread, from values that are replaced whole.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, Protocol

from zkdiscovery.demo.acts import ACTS
from zkdiscovery.demo.node import DRAIN_DELAY, SESSION_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from zkdiscovery.demo.cast import Node
    from zkdiscovery.demo.stage import Stage


class Board(Protocol):
    """Where the demo is shown."""

    linger: float  # seconds that an act is left standing at its end

    def show(self, line: str) -> None:
        """Show a line about what happens (any thread)."""

    def live(self, stage: Stage) -> AbstractContextManager[None]:
        """Show the stage in the block."""

    def announce(self, stage: Stage) -> None:
        """An act begins."""

    def summary(self, stage: Stage) -> None:
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


def rows(stage: Stage) -> list[Row]:
    """The table: what the processes do, and what the client knows of them."""
    return [_row(stage, node) for node in stage.cast.nodes]


def _row(stage: Stage, node: Node) -> Row:
    counts = stage.caller.of(node.name)
    term = node.leadership
    lease = term.lease_end - time.monotonic() if term is not None else 0.0
    return Row(
        node.name,
        str(node.port or "–"),
        node.process,
        stage.seen(node.name) or "–",
        str(counts.answered),
        str(counts.failed),
        f"{median(counts.seconds) * 1000:.1f} ms" if counts.seconds else "–",
        f"{lease:.1f} s left, fence {term.fence}" if term is not None and lease > 0 else "–",
    )


def client_line(stage: Stage) -> str:
    """How the client stands."""
    snapshot = stage.payments.snapshot
    cache = "empty" if not snapshot.loaded else f"stale for {snapshot.age:.1f} s" if snapshot.stale else "fresh"
    return f"client: {stage.client.state}, cache {cache}; calls: {stage.caller.totals}"


CONDITIONS = f"Session timeout {SESSION_TIMEOUT:g} s, drain delay {DRAIN_DELAY:g} s; median of the last 100 answers."


def verdict(stage: Stage) -> str:
    """The last line."""
    wrong = sum(not finding.held for finding in stage.findings)
    if wrong:
        return f"{wrong} of {len(stage.findings)} measurements are not as expected."
    return f"All {len(stage.findings)} measurements are as expected."


class PlainLines:
    """Lines of text, no control characters."""

    linger = 0.0  # seconds

    def show(self, line: str) -> None:
        """Print it, in one write: lines of several threads must not mix. Without a reader all ends as on Ctrl-C."""
        try:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            os.kill(os.getpid(), signal.SIGINT)  # the main thread takes it

    @contextmanager
    def live(self, stage: Stage) -> Iterator[None]:
        """Lines come as things happen; the table at the end."""
        yield
        self._table(stage)

    def announce(self, stage: Stage) -> None:
        """The table as the act before has left it, and a heading."""
        if stage.act > 1:
            self._table(stage)
        name, title, _ = ACTS[stage.act - 1]
        self.show(f"\n{name}: {title}")

    def summary(self, stage: Stage) -> None:
        """One line for each finding."""
        self.show("\nWhat was measured")
        for act, what, measured, expected, held in stage.findings:
            self.show(f"  {'✓' if held else '✗'} {ACTS[act - 1][0]}: {what}: {measured} (expected: {expected})")
        self.show(CONDITIONS)
        self.show(verdict(stage))

    def _table(self, stage: Stage) -> None:
        lines = (HEADINGS, *rows(stage))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
            self.show(f"    {'  '.join(cells)}".rstrip())
        self.show(f"    {client_line(stage)}")
