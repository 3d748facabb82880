"""Calls at a steady rate, with one slow call under way all the time: which failed, and how many were retried.

At most `AT_ONCE` calls are under way. Where a busy machine answers fewer than `RATE` calls a second, the rate falls.
With a queue instead, all threads would call at once, each call would take seconds, and the queue minutes to end.

    with Load(caller) as load:
        load.wait(100)              # until 100 more calls have ended
        fleet[0].terminate()
    assert (load.failed, load.retried) == ([], 0)

A caller is anything with `call(path) -> str`, which threads call side by side, and `picks`; see `callers.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, Self

from tests.support import LIMIT, wait_until
from zkdiscovery import P2cEwma
from zkdiscovery.balancing import Endpoint, Picker

RATE = 100.0  # calls a second
AT_ONCE = 16  # calls, beside the slow one
SLOW = 1.5  # seconds that the slow call takes
RETRIES = 2  # of a call that failed, at most


class Caller(Protocol):
    """Who calls the service; `picks` counts attempts, with those that the caller makes by itself after a failure."""

    picks: Picks

    def call(self, path: str) -> str:
        """One call; raises whatever a user of the caller would see."""
        ...


class Count:
    """A number that any thread adds to."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        """One more."""
        with self._lock:
            self.value += 1


class Picks:
    """The default strategy, which counts its picks: hand it to the caller as `balancer`."""

    def __init__(self) -> None:
        self.count = Count()

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """Return a picker that counts."""
        return _CountingPicker(P2cEwma().build(endpoints), self.count)


class _CountingPicker:
    def __init__(self, picker: Picker, count: Count) -> None:
        self._picker = picker
        self._count = count

    def pick(self, key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        endpoint = self._picker.pick(key, exclude)
        if endpoint is not None:
            self._count.add()
        return endpoint


@dataclass(frozen=True)
class Failed:
    """A call that failed.

    Attributes:
        path: what was called.
        began: monotonic seconds.
        error: what the caller saw.
        again: what a retry brought, twice at most: an answer, or the last error.
    """

    path: str
    began: float
    error: Exception
    again: str | Exception


class Load:
    """A load in a `with` block; leaving it waits for the calls under way.

    Attributes:
        failed: the calls that failed.
    """

    def __init__(self, caller: Caller, rate: float = RATE, slow: str = f"/slow?seconds={SLOW}") -> None:
        self._caller = caller
        self._pause = 1.0 / rate
        self._slow = slow
        self.failed: list[Failed] = []
        self._made = Count()
        self._ended = Count()
        self._over = threading.Event()
        self._room = threading.Semaphore(AT_ONCE)
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._threads = [threading.Thread(target=self._pace), threading.Thread(target=self._call_slowly)]

    @property
    def ended(self) -> int:
        """Calls that ended."""
        return self._ended.value

    @property
    def retried(self) -> int:
        """Attempts that were made beside the first one of each call; meaningful at the end."""
        return self._caller.picks.count.value - self._made.value

    def wait(self, calls: int) -> None:
        """Wait until `calls` more calls have ended."""
        goal = self.ended + calls
        wait_until(lambda: self.ended >= goal, 3 * LIMIT)

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            self._room.acquire()
            self._pool.submit(self._call_in_room)
            due = max(due + self._pause, time.monotonic())

    def _call_in_room(self) -> None:
        try:
            self._call("/")
        finally:
            self._room.release()

    def _call_slowly(self) -> None:
        while not self._over.is_set():
            self._call(self._slow)

    def _call(self, path: str) -> None:
        began = time.monotonic()
        self._made.add()
        try:
            self._caller.call(path)
        except Exception as error:
            self.failed.append(Failed(path, began, error, self._retry(path)))
        self._ended.add()

    def _retry(self, path: str) -> str | Exception:
        for _ in range(RETRIES):
            self._made.add()
            try:
                return self._caller.call(path)
            except Exception as error:
                last = error
        return last

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(LIMIT)
        self._pool.shutdown()
