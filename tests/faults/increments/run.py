"""Start the processes, trouble the ensemble and the processes until all are done, and count."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.faults.increments.worker import Figures
from tests.support import wait_until
from zkdiscovery import Client
from zkdiscovery.testing import ZookeeperEnsemble

Mode = Literal["fenced", "guarded", "plain"]

ROOT = Path(__file__).parents[3]
T = 4.0  # seconds, the session timeout
STOPPED = 1.6 * T  # seconds that a process stands still: its session ends up to one and a half ticks after T
LIMIT = 60.0  # seconds for what takes a moment
START = 180.0  # seconds for the start of all processes, on a busy machine


@dataclass
class Outcome:
    """What a run has shown.

    Attributes:
        wanted: increments that were asked for.
        final: the number in the end.
        figures: of each process.
        faults: how often each one happened.
        seconds: that it took.
    """

    wanted: int
    final: int
    figures: list[Figures]
    faults: Counter[str]
    seconds: float

    @property
    def values(self) -> list[int]:
        """The number after each increment that a process knows it has made, sorted."""
        return sorted(value for figures in self.figures for value in figures.values)

    def sum(self, name: str) -> int:
        """The sum of a figure over all processes."""
        return sum(getattr(figures, name) for figures in self.figures)

    @property
    def wrong(self) -> list[str]:
        """What must not be: an increment that is lost or counted twice."""
        values, unknown, wrong = self.values, self.sum("unknown"), []
        if len(values) + unknown != self.wanted:
            wrong.append(f"{len(values)} increments were made and {unknown} may have been, not {self.wanted}")
        if len(set(values)) != len(values):
            wrong.append(f"{len(values) - len(set(values))} increments were lost: two of them made the same number")
        if not len(values) <= self.final <= len(values) + unknown:
            wrong.append(f"the number is {self.final} after {len(values)} increments, and {unknown} that may be made")
        return wrong


class Trouble:
    """The faults, one after the other, of a kind that is left to chance."""

    def __init__(self, ensemble: ZookeeperEnsemble, mode: Mode, processes: list[subprocess.Popen[bytes]]) -> None:
        self._ensemble = ensemble
        self._processes = processes
        self._chance = random.Random(len(processes))
        self.happened: Counter[str] = Counter()
        kinds: dict[str, Callable[[], None]] = {
            "members killed": self._kill_member,
            "members restarted": self._restart_member,
            "members paused": self._pause_member,
            "clients stopped": self._stop_client,
        }
        self._kinds = kinds
        self._order: list[str] = []
        if mode != "plain":
            kinds["holders stopped"] = self._stop_holder
            self._order = ["holders stopped"]

    def cause(self) -> None:
        """Do one harm, and undo it."""
        if not self._order:
            self._order = self._chance.sample([*self._kinds], len(self._kinds))
        kind = self._order.pop()
        self._kinds[kind]()
        self.happened[kind] += 1

    def _kill_member(self) -> None:
        member = self._chance.choice(self._ensemble.members)
        member.kill()
        time.sleep(self._chance.uniform(0.0, 1.0))
        self._ensemble.repair()

    def _restart_member(self) -> None:
        self._chance.choice(self._ensemble.members).restart(wait=False)
        self._ensemble.repair()

    def _pause_member(self) -> None:
        member = self._chance.choice(self._ensemble.members)
        member.pause()
        time.sleep(self._chance.uniform(0.5, 3.0))
        self._ensemble.repair()

    def _stop_client(self) -> None:
        running = [process for process in self._processes if process.poll() is None]
        if running:
            process = self._chance.choice(running)
            process.send_signal(signal.SIGSTOP)
            time.sleep(STOPPED)
            process.send_signal(signal.SIGCONT)

    def _stop_holder(self) -> None:
        """Have a process stop itself while it holds the lock, right before it writes."""
        running = [process for process in self._processes if process.poll() is None]
        if running:
            process = self._chance.choice(running)
            process.send_signal(signal.SIGUSR1)
            wait_until(lambda: process.poll() is not None or _is_stopped(process.pid), LIMIT)
            time.sleep(STOPPED)
            process.send_signal(signal.SIGCONT)


def _failed(processes: list[subprocess.Popen[bytes]]) -> bool:
    return any(process.poll() for process in processes)


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


@contextmanager
def _working(
    hosts: str, namespace: str, mode: Mode, count: int, times: int, folder: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [
        subprocess.Popen(
            [
                sys.executable, "-m", "tests.faults.increments.worker",
                hosts, namespace, mode, str(times), str(T), str(folder), str(number),
            ],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
        )
        for number in range(count)
    ]  # fmt: skip
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait(LIMIT)


def increment(ensemble: ZookeeperEnsemble, namespace: str, mode: Mode, *, processes: int, increments: int) -> Outcome:
    """Let so many processes make so many increments in all, with one fault after the other.

    Raises:
        AssertionError: a process has failed.
    """
    begun = time.monotonic()
    times = increments // processes
    with (
        tempfile.TemporaryDirectory() as name,
        _working(ensemble.hosts, namespace, mode, processes, times, Path(name)) as running,
    ):
        folder = Path(name)
        trouble = Trouble(ensemble, mode, running)
        wait_until(lambda: len([*folder.glob("*.ready")]) == processes or _failed(running), START)
        while any(process.poll() is None for process in running):
            trouble.cause()
        assert not _failed(running), f"processes have failed: {[process.returncode for process in running]}"
        figures = [Figures(**json.loads((folder / f"{number}.json").read_text())) for number in range(processes)]
        if mode == "fenced":
            final = int((folder / "number").read_text().split()[1])
        else:
            with Client(ensemble.hosts, namespace=namespace) as client:
                final = client.counter("number").value(LIMIT)
    return Outcome(times * processes, final, figures, trouble.happened, time.monotonic() - begun)
