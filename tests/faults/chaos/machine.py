"""Measure when the machine itself stood still, as under a hypervisor that took its processors away.

A process that does nothing but sleep is late only if nothing runs. What it tells is deducted from the time of calls,
because no library can return from a call while no thread runs.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import Self

from tests.faults.chaos.history import History

NAP = 0.02  # seconds
STALL = 0.1  # seconds beyond a nap that count
MACHINE = "machine"

_SCRIPT = f"""
import time
while True:
    begin = time.monotonic()
    time.sleep({NAP})
    end = time.monotonic()
    if end - begin > {NAP + STALL}:
        print(begin, end, flush=True)
"""


class Machine:
    """Writes the machine's stalls into a history, as stops of all processes."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _SCRIPT], stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # half a line, as the process was killed
                begin, end = map(float, line.split())
                self._history.write("stopped", whom=MACHINE, begin=begin, end=end)
