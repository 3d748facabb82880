"""Supervisors in processes of their own, and what is left of their commands."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Self

from tests.support import LIMIT, wait_until

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("supervisor_process.py")
_MARK = "MARK_OF_THE_COMMAND"


def environment_of(pid: int) -> bytes:
    """The environment that a process started with; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def children_of(pid: int) -> list[int]:
    """The children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Supervised:
    """A supervisor with its command, which is a shell script."""

    def __init__(self, script: str, *, deadline: float = float("inf"), grace: float = 1.0) -> None:
        self._mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(deadline), str(grace), "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), _MARK: self._mark},
        )
        assert self.process.stdout is not None
        self.out = self.process.stdout

    def line(self) -> str:
        """The next line that the command prints."""
        return self.out.readline().rstrip("\n")

    @property
    def guardian(self) -> int:
        """Process id of the guardian."""
        (pid,) = children_of(self.process.pid)
        return pid

    def alive(self) -> list[int]:
        """The processes that live, but for the supervisor: the guardian, the command, and what it has started."""
        mark = f"{_MARK}={self._mark}".encode()
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if pid != self.process.pid and mark in environment_of(pid)]

    def wait_gone(self, timeout: float = LIMIT) -> None:
        """Wait until nothing of the command and no guardian is left."""
        wait_until(lambda: not self.alive(), timeout)

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code of the supervisor."""
        return self.process.wait(LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(pid, signal.SIGKILL)
        self.out.close()
