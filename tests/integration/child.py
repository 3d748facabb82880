"""A Python process of its own, led by the test line by line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Self

from tests.support import LIMIT, Recorder

_PRELUDE = """
import os, select, signal, sys

def print(*words):  # one line is one write, whichever threads print
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

# A signal that comes just before a system call, or to another thread, would not wake the main thread.
_woken, _wake = os.pipe()
os.set_blocking(_woken, False)
os.set_blocking(_wake, False)
signal.set_wakeup_fd(_wake)

def obey():
    rest = b""
    while True:
        ready, _, _ = select.select([0, _woken], [], [])
        if _woken in ready:
            os.read(_woken, 1000)
        if 0 in ready:
            read = os.read(0, 100_000)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\\n")
            for line in lines:
                exec(line, globals())
"""
_LED = """
obey()
"""


class Child:
    """Runs a script; then each line that the test says. What it prints, errors included, can be waited for.

    Args:
        script: Python.
        arguments: its arguments.
        within: a command that runs it elsewhere, such as in a network namespace.
    """

    def __init__(self, script: str, *arguments: str, within: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*within, sys.executable, "-u", "-c", _PRELUDE + script + _LED, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed: Recorder[str] = Recorder()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed(line.rstrip("\n"))
        self.printed("")  # nothing more will come

    def say(self, line: str) -> None:
        """Let it run a line of Python."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait_line(self, start: str, count: int = 1, timeout: float = LIMIT) -> str:
        """Wait until it has printed so many lines that begin with `start`; the last of them, without the start."""

        def found(lines: list[str]) -> list[str]:
            return [line for line in lines if line.startswith(start)]

        self.printed.wait(lambda lines: len(found(lines)) >= count or lines[-1:] == [""], timeout)
        lines = found(self.printed.items)
        assert len(lines) >= count, "\n".join(self.printed.items)
        return lines[count - 1].removeprefix(start).strip()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.kill()
        self.process.wait(LIMIT)

    def wait(self) -> int:
        """Let it end; its return code, negative for a signal."""
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        return self.process.wait(LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # what was said last, it never heard
            self.process.stdin.close()
        self._reader.join(LIMIT)
        self.process.stdout.close()
