"""Signals as data: they arrive on a file descriptor, and none is lost between two looks at it."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, Self

# Faults of this process, what writing to a closed pipe means, and the terminal's "you are in the background".
_OURS = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS", "SIGPIPE", "SIGXFSZ", "SIGTTIN",
         "SIGTTOU", "SIGKILL", "SIGSTOP"}  # fmt: skip
_TAKEN = sorted({number for number in signal.Signals if number.name not in _OURS})


class Signals:
    """Takes all signals that can be forwarded, and SIGCHLD, for the time of a `with` block. Main thread only.

    A signal that is ignored, as SIGHUP is below `nohup`, stays ignored.

    The interpreter writes the numbers to the file descriptor in C. A handler in Python may write too late: it does not
    run while the main thread waits in a system call that the signal has not interrupted.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # so that no waker writes to a descriptor that was closed
        self._open = False

    def __enter__(self) -> Self:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._before: dict[int, Any] = {}
        self._open = True
        for number in _TAKEN:
            before = signal.getsignal(number)
            if number == signal.SIGCHLD or before not in (signal.SIG_IGN, None):
                self._before[number] = before
                signal.signal(number, _ignore)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._wakeup_before)
        with self._lock:
            self._open = False
            os.close(self._writing)
        os.close(self._reading)

    def fileno(self) -> int:
        """The file descriptor that becomes readable when a signal has come."""
        return self._reading

    def read(self) -> list[int]:
        """The signals that have come since the last call, in order. Never blocks."""
        with suppress(BlockingIOError):
            return [number for number in os.read(self._reading, 1024) if number in self._before]
        return []

    def wake(self) -> None:
        """Make the file descriptor readable without a signal. Never blocks; any thread. Nothing after the block."""
        with self._lock, suppress(BlockingIOError):  # it is readable
            if self._open:
                os.write(self._writing, b"\0")


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Survive a signal. In place of SIG_IGN, which commands would inherit."""
