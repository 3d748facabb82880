"""The pace of reads: a lone change is read at once, the changes of a storm together.

In a storm many changes are read by one request, which takes a fifth of the time of single reads.

Threads: the connection thread calls `delay`, and one worker the other methods. Both hold the lock of the marks, so that
an event is either counted at the end of a flush or has a delay of its own.
"""

from __future__ import annotations

PAUSE = 4.0  # in a storm, the time until the next flush as a multiple of what the last one took
SHORTEST_PAUSE, LONGEST_PAUSE = 0.03, 0.2  # seconds
# An event that comes this many seconds after a flush belongs to a storm. A writer that waits to see each of its changes
# takes longer. A flush that has nothing to read is over before the next event can come.
STORM_GAP, STORM_GAP_UNREAD = 0.0002, 0.002


class Pacing:
    """The pause between two flushes. All times are in monotonic seconds.

    Attributes:
        pause: seconds between the last flush and the next; 0.0 outside storms.
    """

    def __init__(self) -> None:
        self.pause = 0.0
        self._flushed_at = 0.0
        self._gap = STORM_GAP
        self._crowded = False  # an event came within the gap after the last flush
        self._running = False  # a flush runs

    def delay(self, now: float) -> float | None:
        """Return the seconds until the flush for an event of now; None: that which runs sees to it at its end."""
        if self._running:
            return None
        since = now - self._flushed_at
        if since < self._gap:
            self._crowded = True
        return max(0.0, self.pause - since)

    def begin(self) -> None:
        """Note the beginning of a flush."""
        self._running = True

    def give_up(self) -> None:
        """Note that a flush has failed, or that it is over."""
        self._running = False

    def flushed(self, began: float, now: float, *, read: bool, more: bool) -> float | None:
        """Note the end of a flush. Return the seconds until the next one; None if none is needed.

        Args:
            began: when it began.
            now: its end.
            read: True if it had something to read.
            more: True if events came meanwhile.
        """
        storm, paused = self._crowded or more, self.pause > 0
        self.pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, PAUSE * (now - began))) if storm else 0.0
        self._crowded = False
        self._gap = STORM_GAP if read else STORM_GAP_UNREAD
        self._flushed_at = now
        self._running = False
        if not more:
            return None
        return self.pause if paused else 0.0  # two changes that come together are no storm yet
