"""The time that the end of the process may take, shared by all that leaves ZooKeeper then.

Any thread may call.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CLOSE_OVERHEAD = 3.0  # seconds beside a drain delay: both reserves, and the time until all are DRAINING
SHORTEST = 1.0  # seconds that closing gets even if earlier steps used up the limit, and after Ctrl-C
BLOCK_LIMIT = (
    CLOSE_OVERHEAD - SHORTEST
)  # seconds beside its delay that what a block holds may take at the end of a process
LEAST = 0.25  # seconds that each such block gets, however many came before
FORGOTTEN = 2.0  # seconds after the last exit of a cancelled task until the time of these counts no more


class ProcessEnd:
    """The time that the end of this process has taken so far.

    A cancelled task may end the process, as Ctrl-C does in `asyncio.run`, or may not. So the time in which cancelled
    tasks leave their blocks counts until none has left one for a while.
    """

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        """In a forked child: nothing was spent."""
        self._lock = threading.RLock()  # reentrant, because a signal handler may close a client
        self._certain = 0.0  # seconds
        self._recent = 0.0  # seconds in which cancelled tasks left their blocks
        self._leaving = 0  # cancelled tasks that leave a block now
        self._noted = -math.inf  # until when `_recent` counts, monotonic seconds

    @property
    def spent(self) -> float:
        """Seconds."""
        with self._lock:
            self._note()
            return self._certain + self._recent

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the time of the block."""
        begun = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._certain += time.monotonic() - begun

    @contextmanager
    def counted_for_now(self) -> Iterator[None]:
        """Count the time in which a cancelled task leaves a block."""
        with self._lock:
            self._note()
            self._leaving += 1
            self._noted = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._note()
                self._leaving -= 1

    def _note(self) -> None:
        now = time.monotonic()
        if self._leaving:
            self._recent += now - self._noted  # once, however many leave side by side
            self._noted = now
        elif now - self._noted >= FORGOTTEN:
            self._recent = 0.0


process_end = ProcessEnd()

os.register_at_fork(after_in_child=process_end.forked)


@contextmanager
def leaving(usual: float) -> Iterator[float]:
    """Give the seconds that what a block of a user holds may take to leave, beside its delay.

    These are `usual`, unless KeyboardInterrupt or SystemExit ends the block on the main thread, or its task is
    cancelled. The process ends too then, as far as can be told here, so the time counts to its end.
    """
    error = sys.exception()
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        in_main_thread = threading.current_thread() is threading.main_thread()
        counted = process_end.counted if in_main_thread else None
    else:
        # `asyncio.CancelledError` is no Exception; this package does not load asyncio.
        cancelled = error is not None and not isinstance(error, (Exception, GeneratorExit))
        counted = process_end.counted_for_now if cancelled else None
    if counted is None:
        yield usual
    else:
        limit = min(usual, max(LEAST, BLOCK_LIMIT - process_end.spent))
        with counted():
            yield limit
