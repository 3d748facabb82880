"""Proof of when the holds of a process were valid.

A stamp is read before the hold is looked at, so it proves that the hold was valid at that time. A hold that is valid at
one time was so since it began, because a lost hold never revives.
"""

from __future__ import annotations

import threading

from tests.faults.chaos.history import History, now
from zkdiscovery.znodes import BaseHold

SAMPLE = 0.02  # seconds between two looks at a hold
TELL = 0.1  # seconds between two lines about it: what a killed process loses at most


class Sampler:
    """Looks at all holds of the process, on a thread of its own. Any thread calls `add` and `look`."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._changed = threading.Condition()
        self._holds: dict[BaseHold, tuple[str, float, float]] = {}  # what of, the latest stamp, and when it was told

    def add(self, hold: BaseHold, kind: str, of: str, asked: float) -> bool:
        """A hold of this kind begins, which was asked for at that time; False if it is over already."""
        stamp = now()
        if hold.lost:
            return False
        self._history.write(
            "hold", kind=kind, of=of, fence=hold.fence, asked=asked, begin=stamp, remaining=round(hold.remaining, 3)
        )
        with self._changed:
            self._holds[hold] = (of, stamp, stamp)
            self._changed.notify_all()
        return True

    def look(self, hold: BaseHold) -> bool:
        """Look at a hold now; False if it is over."""
        with self._changed:
            if hold not in self._holds:
                return False
            of, last, told = self._holds[hold]
            stamp = now()
            over = hold.reason
            if over is not None:
                del self._holds[hold]
                self._tell(hold, of, last, over)
            elif stamp - told >= TELL:
                self._holds[hold] = (of, stamp, stamp)
                self._tell(hold, of, stamp, None)
            else:
                self._holds[hold] = (of, stamp, told)
        return over is None

    def run(self) -> None:
        """For ever."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._holds))
                holds = list(self._holds)
            for hold in holds:
                self.look(hold)
            with self._changed:
                self._changed.wait(SAMPLE)

    def _tell(self, hold: BaseHold, of: str, stamp: float, over: str | None) -> None:
        remaining = round(hold.remaining, 3)
        self._history.write("valid", of=of, fence=hold.fence, to=stamp, remaining=remaining, over=over)
