"""What a run leaves behind: one line in a file that all processes append to."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

RUNS = "runs"  # the name of the file


class Run(NamedTuple):
    """One run: the fence of its term, when it was due, the process that led, when it began there (both in seconds)."""

    fence: int
    due: float
    pid: int
    began: float

    @property
    def second(self) -> int:
        """The second for which it ran."""
        return int(self.due)


def write_run(fence: int | None, due: float, pid: int, began: float) -> None:
    """Append a line; one write, so lines of several processes do not mix."""
    with (Path(os.environ["JOBS_FOLDER"]) / RUNS).open("ab", buffering=0) as file:
        file.write(f"{fence} {due!r} {pid} {began!r}\n".encode())


def read_runs(folder: Path) -> list[Run]:
    """All runs so far, in the order in which they were written."""
    try:
        text = (folder / RUNS).read_text()
    except FileNotFoundError:
        return []
    lines = [line.split() for line in text.splitlines()]
    return [Run(int(fence), float(due), int(pid), float(began)) for fence, due, pid, began in lines]


def violations(runs: list[Run]) -> list[str]:
    """What must not be: a lower fence after a higher one, two runs for one second, two processes with one fence."""
    found: list[str] = []
    largest, seconds, leaders = 0, dict[int, Run](), dict[int, int]()
    for run in runs:
        if run.fence < largest:
            found.append(f"{run} after the fence {largest}")
        largest = max(largest, run.fence)
        if run.second in seconds:
            found.append(f"{run} and {seconds[run.second]} for one second")
        seconds[run.second] = run
        if leaders.setdefault(run.fence, run.pid) != run.pid:
            found.append(f"{run} has the fence of the process {leaders[run.fence]}")
    return found


def longest_gap(runs: list[Run]) -> float:
    """Seconds between the beginnings of two runs that follow each other, at most."""
    began = sorted(run.began for run in runs)
    return max((later - earlier for earlier, later in pairwise(began)), default=0.0)
