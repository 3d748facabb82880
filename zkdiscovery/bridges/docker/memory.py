"""The memory of an engine's containers between two lists: signals that were sent to them, and runs that ended.

The thread of the events writes it, and the thread of the bridge reads it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

from zkdiscovery.bridges.source import Death

_KEPT = 300.0  # seconds that a death is told; the registrations that it left are gone by then
_MOST = 10_000  # of each kind

K = TypeVar("K")
V = TypeVar("V")


class Memory:
    """The signals and deaths of the last minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._signals: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._deaths: OrderedDict[str, tuple[float, float | None]] = OrderedDict()
        self._alive: frozenset[str] = frozenset()

    def note_signal(self, container: str, number: str, at: float) -> None:
        """Note that a signal was sent, at a time of the engine's clock."""
        with self._lock:
            _put(self._signals, container, (number, at))

    def note_death(self, container: str, at: float | None) -> None:
        """Note that a run ended, at a time of the engine's clock; None: unknown."""
        with self._lock:
            self._signals.pop(container, None)
            _put(self._deaths, container, (time.monotonic(), at))

    def signals(self) -> dict[str, tuple[str, float]]:
        """Return the last signal of each container that got one, and when."""
        with self._lock:
            return dict(self._signals)

    def forget_signal(self, container: str, at: float) -> None:
        """Forget the signal that a container got at that time, because it does not end it."""
        with self._lock:
            if container in self._signals and self._signals[container][1] == at:
                del self._signals[container]

    def deaths(self, running: Iterable[str]) -> list[Death]:
        """Return the runs that ended, given the containers that run now.

        One that ran at the last call and does not now has ended, whatever events were lost.
        """
        alive = frozenset(running)
        now = time.monotonic()
        with self._lock:
            for container in self._alive - alive:
                if container not in self._deaths:
                    _put(self._deaths, container, (now, None))
            self._alive = alive
            while self._deaths and next(iter(self._deaths.values()))[0] < now - _KEPT:
                self._deaths.popitem(last=False)
            return [
                Death(container, at if container in alive else None)
                for container, (_, at) in self._deaths.items()
                if container not in alive or at is not None
            ]


def _put(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MOST:
        memory.popitem(last=False)
