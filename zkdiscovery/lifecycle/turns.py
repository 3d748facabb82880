"""The turn of a signal that ends the process: what ends on the main thread because of it waits for that turn.

A signal closes the clients while the main thread goes on, and has its turn when they are closed. Loops and functions
of ours on the main thread end with the clients. The code after them would run as if its work were done, and might end
the process with status 0 before the signal ends it.

A handler runs on the main thread and may interrupt a wait there. So the latch is a plain lock, because a handler may
release one at any point.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

WAIT_POLL = 0.25  # seconds between two looks at the limit
UNTOLD = 10.0  # seconds that a turn may take until the closing thread tells how long it needs

_turns: set[Turn] = set()

os.register_at_fork(after_in_child=_turns.clear)  # the closing threads are the parent's


class Turn:
    """The turn of one signal, from its arrival until the handler of before is called."""

    def __init__(self) -> None:
        self._until = time.monotonic() + UNTOLD
        self._latch = threading.Lock()
        self._latch.acquire()
        _turns.add(self)

    def over(self) -> None:
        """The signal has had its turn. Never blocks; idempotent; signal handlers may call it."""
        _turns.discard(self)
        with contextlib.suppress(RuntimeError):  # released before
            self._latch.release()

    def expect(self, limit: float) -> None:
        """Let nobody wait for longer than `limit` seconds from now."""
        self._until = time.monotonic() + limit

    @property
    def pending(self) -> bool:
        """True until it is over, or its limit has passed."""
        return self in _turns and self._until > time.monotonic()

    def wait(self) -> None:
        """Wait until it is over, or its limit has passed."""
        while (left := self._until - time.monotonic()) > 0:
            if self._latch.acquire(timeout=min(left, WAIT_POLL)):
                self.over()
                return


def await_signals() -> None:
    """On the main thread, wait for the signals that are ending the clients. The last one may end this call, too."""
    if threading.current_thread() is threading.main_thread():
        for turn in list(_turns):
            turn.wait()


def signals_pending() -> bool:
    """Return whether `await_signals` would wait; for event loops, which must not be blocked."""
    return threading.current_thread() is threading.main_thread() and any(turn.pending for turn in list(_turns))
