"""The figures of a run, gathered round by round, and printed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

from tests.faults.chaos.carry import Carry, HoldSeen, Span, Violation
from tests.faults.chaos.checker import overtime
from tests.faults.chaos.history import Event
from tests.faults.chaos.holds import LEASE, READ, SHARD, together
from tests.faults.chaos.leading import TERM
from tests.faults.chaos.machine import MACHINE
from tests.faults.chaos.schedule import ENSEMBLE_FAULTS

OUTAGES = frozenset(ENSEMBLE_FAULTS)
PROOFS = (
    "terms won",
    "holds of locks",
    "readers beside readers",
    "holders of a semaphore beside others",
    "moves of shards to other processes",
)
AFTERMATH = 6.0  # seconds after a fault of the ensemble, in which it elects and sessions expire


class Figures:
    """What happened so far."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rounds = 0
        self.begin: float | None = None
        self.end = 0.0
        self.steps = 0
        self.faults: Counter[str] = Counter()
        self.failed_faults: Counter[str] = Counter()
        self.holds: Counter[str] = Counter()
        self.beside: Counter[str] = Counter()  # holds that began beside another one of their kind and queue
        self.limits: Counter[str] = Counter()  # changes of limits, by what came of them
        self.writes: Counter[str] = Counter()
        self.calls = 0
        self.longest_call_over = 0.0  # seconds beyond its limit
        self.seen = 0
        self.longest_stale = 0.0
        self.settle: dict[str, float] = {}
        self.settle_times: list[float] = []
        self.gaps = {TERM: (0.0, 0.0), SHARD: (0.0, 0.0)}  # overall, and outside faults of the ensemble
        self.moves = 0  # holds of shards by another process than the one before
        self.size = 0
        self.violations: list[Violation] = []
        self.stalls = (0.0, 0.0)  # of the machine: the longest one, and all together, in seconds
        self._outages: list[Span] = []
        self._stops: list[Span] = []
        self._stale: dict[tuple[str, str], float] = {}
        self._owners: dict[str, str] = {}  # of each shard, the latest one
        self._ends: dict[str, tuple[int, float]] = {}  # fence and last stamp of the latest hold of each queue

    def add(self, events: list[Event], carry: Carry) -> None:
        """A round was checked."""
        self.rounds += 1
        self._stops = carry.stops
        for event in events:
            if self.begin is None:
                self.begin = event["t"]
            self.end = max(self.end, event["t"])
            if (note := getattr(self, f"_note_{event['ev']}", None)) is not None:
                note(event)
        self._outages = [span for span in self._outages if span.end >= events[0]["t"] - 60.0] + [
            Span("", event["begin"] - 1.0, event["end"] + AFTERMATH)
            for event in events
            if event["ev"] == "fault" and event["kind"] in OUTAGES
        ]
        fences = {event["fence"] for event in events if event["ev"] == "hold"}
        for kind in (READ, LEASE):
            self.beside[kind] += together(carry.holds.values(), fences, kind)
        self._note_gaps([hold for hold in carry.holds.values() if hold.kind in self.gaps])

    def _note_act(self, _event: Event) -> None:
        self.steps += 1

    def _note_stopped(self, event: Event) -> None:
        if event["whom"] == MACHINE:
            took = event["end"] - event["begin"]
            self.stalls = max(self.stalls[0], took), self.stalls[1] + took

    def _note_fault(self, event: Event) -> None:
        self.faults[event["kind"]] += 1
        if event["outcome"] != "done":
            self.failed_faults[event["kind"]] += 1

    def _note_hold(self, event: Event) -> None:
        self.holds[event["kind"]] += 1
        if event["kind"] == SHARD:
            self.moves += self._owners.get(event["of"], event["who"]) != event["who"]
            self._owners[event["of"]] = event["who"]

    def _note_limit(self, event: Event) -> None:
        self.limits[event["result"]] += 1

    def _note_write(self, event: Event) -> None:
        self.writes["accepted" if event["accepted"] else "refused"] += 1

    def _note_call(self, event: Event) -> None:
        self.calls += 1
        self.longest_call_over = max(self.longest_call_over, overtime(event, self._stops))

    def _note_seen(self, event: Event) -> None:
        self.seen += 1
        key = event["who"], event["service"]
        since = self._stale.pop(key, None)
        if since is not None:
            self.longest_stale = max(self.longest_stale, event["t"] - since)
        if event["stale"]:
            self._stale[key] = since if since is not None else event["t"]

    def _note_settle(self, event: Event) -> None:
        took = [value for value in event["took"].values() if value is not None]
        self.settle_times.append(max(took, default=0.0))
        for category, value in event["took"].items():
            self.settle[category] = max(self.settle.get(category, 0.0), value if value is not None else 999.0)

    def _note_gaps(self, holds: list[HoldSeen]) -> None:
        for hold in sorted(holds, key=lambda hold: hold.fence):
            fence, last = self._ends.get(hold.of, (0, 0.0))
            if hold.fence > fence:
                if fence:
                    gap = max(0.0, hold.begin - last)
                    calm = all(span.overlap(last, hold.begin) == 0 for span in self._outages)
                    longest, longest_calm = self.gaps[hold.kind]
                    self.gaps[hold.kind] = max(longest, gap), max(longest_calm, gap if calm else 0.0)
                self._ends[hold.of] = hold.fence, hold.last
            elif hold.fence == fence:
                self._ends[hold.of] = fence, max(last, hold.last)

    def table(self) -> dict[str, Any]:
        """All figures by name."""
        times = sorted(self.settle_times)
        return {
            "seed": self.seed,
            "minutes": round((self.end - (self.begin or self.end)) / 60, 2),
            "rounds": self.rounds,
            "steps": self.steps,
            "faults": sum(self.faults.values()),
            "faults by kind": dict(sorted(self.faults.items())),
            "faults that could not be done": dict(sorted(self.failed_faults.items())),
            "terms won": self.holds[TERM],
            "holds of locks": {kind: count for kind, count in sorted(self.holds.items()) if kind not in self.gaps},
            "readers beside readers": self.beside[READ],
            "holders of a semaphore beside others": self.beside[LEASE],
            "changes of limits": dict(self.limits),
            "holds of shards": self.holds[SHARD],
            "moves of shards to other processes": self.moves,
            "longest gap without a leader, s": round(self.gaps[TERM][0], 2),
            "the same, outside faults of the ensemble, s": round(self.gaps[TERM][1], 2),
            "longest gap without an owner of a shard, s": round(self.gaps[SHARD][0], 2),
            "longest gap without an owner, outside faults of the ensemble, s": round(self.gaps[SHARD][1], 2),
            "fenced writes": dict(self.writes),
            "calls": self.calls,
            "longest time of a call beyond its limit, s": round(self.longest_call_over, 2),
            "stalls of the machine, longest and sum, s": [round(seconds, 2) for seconds in self.stalls],
            "snapshots seen": self.seen,
            "longest staleness, s": round(self.longest_stale, 2),
            "time to settle, median and longest, s": [
                round(times[len(times) // 2], 2) if times else 0.0,
                round(times[-1], 2) if times else 0.0,
            ],
            "longest time to settle by category, s": {key: round(value, 2) for key, value in self.settle.items()},
            "history, MB": round(self.size / 1e6, 1),
            "violations": len(self.violations),
            "violated": sorted({violation.invariant for violation in self.violations}),
        }

    def idle(self) -> list[str]:
        """What did not happen at all, so that the run proves nothing of it."""
        table = self.table()
        return [name for name in PROOFS if not table[name]]


def show(table: dict[str, Any], output: str) -> None:
    """Print the figures: as JSON, as a rich table on a terminal, or as plain lines."""
    if output == "json":
        print(json.dumps(table, indent=2))
        return
    rows = [(name, _text(value)) for name, value in table.items()]
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 - only people need it
        from rich.table import Table  # noqa: PLC0415

        drawn = Table("figure", "value", title="chaos")
        for row in rows:
            drawn.add_row(*row)
        Console().print(drawn)
        return
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items()) or "none"
    if isinstance(value, list):
        return " / ".join(map(str, value)) or "none"
    return str(value)
