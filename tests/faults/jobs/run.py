"""Two gunicorns with four workers each, whose leaders are killed or stopped one after the other."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from tests.faults.jobs.report import Run, longest_gap, read_runs, violations

SchedulerName = Literal["apscheduler", "celery"]

ROOT = Path(__file__).parents[3]
SERVERS, WORKERS = 2, 4
T = 4.0  # seconds, the session timeout
LIMIT = 60.0  # seconds; far more than a new leader takes
AFTER = 2  # runs of a leader before it is killed


class Outcome(NamedTuple):
    """What a run of everything has shown."""

    runs: int
    terms: int
    violations: list[str]
    longest_gap: float  # seconds


class Jobs:
    """What runs, and what its runs have left in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.errors = folder / "errors"

    def wait_run(self, *, above: int = 0, count: int = 1) -> Run:
        """Wait until a term with a fence above the given one has so many runs; the last of them."""
        end = time.monotonic() + LIMIT
        while True:
            runs = [run for run in read_runs(self._folder) if run.fence > above]
            if len(runs) >= count:
                return runs[-1]
            assert time.monotonic() < end, f"no run above the fence {above}: {self.errors.read_text()[-5000:]}"
            time.sleep(0.02)

    def outcome(self) -> Outcome:
        """All runs so far, judged."""
        runs = read_runs(self._folder)
        return Outcome(len(runs), len({run.fence for run in runs}), violations(runs), longest_gap(runs))


@contextmanager
def _process(stack: ExitStack, errors: Path, env: dict[str, str], *command: str) -> Iterator[None]:
    with (
        errors.open("ab") as log,
        subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise


@contextmanager
def running(scheduler: SchedulerName, hosts: str, namespace: str) -> Iterator[Jobs]:
    """Run a job each second on the leader of all workers."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "messages").mkdir()
        env = {
            **os.environ,
            "JOBS_SCHEDULER": scheduler,
            "JOBS_FOLDER": name,
            "JOBS_HOSTS": hosts,
            "JOBS_NAMESPACE": namespace,
            "JOBS_T": str(T),
        }
        jobs = Jobs(folder)
        commands = [
            ["-m", "gunicorn", "tests.faults.jobs.application", "-w", str(WORKERS), "-b", f"unix:{name}/{number}",
             "--no-control-socket", "--log-level", "warning"]
            for number in range(SERVERS)
        ]  # fmt: skip
        if scheduler == "celery":
            commands.insert(
                0, ["-m", "celery", "-A", "tests.faults.jobs.beat:app", "worker", "-P", "solo", "-l", "WARNING"]
            )
        for command in commands:
            stack.enter_context(_process(stack, jobs.errors, env, *command))
        yield jobs


def trouble_leaders(scheduler: SchedulerName, hosts: str, namespace: str, kills: int) -> Outcome:
    """Kill each leader after some runs, `kills` times. Stop the next one until another one leads, and let it go on."""
    with running(scheduler, hosts, namespace) as jobs:
        fence, chance = 0, random.Random(kills)
        for number in range(kills):
            leader = jobs.wait_run(above=fence, count=AFTER)
            time.sleep(chance.random())  # at any moment between two runs
            os.kill(leader.pid, signal.SIGKILL)
            print(
                f"{scheduler}, kill {number + 1}: process {leader.pid}, fence {leader.fence}",
                file=sys.stderr,
                flush=True,
            )
            fence = leader.fence
        leader = jobs.wait_run(above=fence, count=AFTER)
        os.kill(leader.pid, signal.SIGSTOP)
        try:
            jobs.wait_run(above=leader.fence)
        finally:
            os.kill(leader.pid, signal.SIGCONT)
        jobs.wait_run(above=leader.fence, count=AFTER + 3)  # the one that was stopped has time to do wrong
        return jobs.outcome()
