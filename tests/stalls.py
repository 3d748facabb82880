"""When the machine itself stood still, as under a hypervisor or beside processes that took its processors away.

A process that does nothing but sleep is late only if nothing runs. No library can keep to a limit meanwhile, so tests
whose limits are shorter than such a stall measure it, and run again.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Self

from tests.support import LIMIT

NAP = 0.02  # seconds
TRIES = 5

_SCRIPT = """
import select, sys, time
nap, least = map(float, sys.argv[1:])
print("begun", flush=True)
over = False
while not over:
    begin = time.monotonic()
    over = any(select.select([0], [], [], nap))
    end = time.monotonic()
    if end - begin > nap + least:
        print(begin, end, flush=True)
"""


class Stalls:
    """Measures the stalls in a `with` block. They are complete when it ends.

    Args:
        least: seconds beyond a nap that count.
        note: called on a thread of its own with the begin and the end of each, in monotonic seconds.

    Attributes:
        longest: seconds, with the nap.
    """

    def __init__(self, least: float, note: Callable[[float, float], None] = lambda _begin, _end: None) -> None:
        self._least, self._note = least, note
        self.longest = 0.0

    def __enter__(self) -> Self:
        command = [sys.executable, "-I", "-S", "-c", _SCRIPT, str(NAP), str(self._least)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(LIMIT)
        self._thread.join(LIMIT)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            begin, end = map(float, line.split())
            self.longest = max(self.longest, end - begin)
            self._note(begin, end)


def run_without_stalls(scenario: Callable[[], None], longest: float) -> None:
    """Run a scenario that needs a machine which never stands still for more than `longest` seconds.

    Where it fails and the machine did stand still for longer meanwhile, it runs again, at most `TRIES` times in all.
    """
    for left in reversed(range(TRIES)):
        stalls = Stalls(longest)
        try:
            with stalls:
                scenario()
        except Exception as error:
            if not left or not stalls.longest:
                raise
            print(f"the machine stood still for {stalls.longest:.2f} s: {error!r}; again")
        else:
            return
