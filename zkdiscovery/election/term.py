"""A term of leadership: a lease, a fence, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from zkdiscovery.errors import LeadershipLost
from zkdiscovery.session import Lease


class Term:
    """One leadership, from the election to its loss or resignation. A lost term never revives.

    Everything here reads the clock itself: `lost` is true from the deadline on, even if no thread of the SDK ran since.

    Attributes:
        election: name of the election.
        fence: transaction id of the candidacy. Later terms of one election have larger ones; hand it to whatever you
            write to, and let that refuse smaller ones.
    """

    def __init__(self, election: str, fence: int, lease: Lease, resign: Callable[[Term], None]) -> None:
        self.election = election
        self.fence = fence
        self._lease = lease
        self._resign = resign
        self._over = threading.Event()

    @property
    def lost(self) -> bool:
        """True once this process may no longer act as the leader."""
        return self._lease.reason is not None

    @property
    def reason(self) -> str | None:
        """Why the term is over; None while it lasts."""
        return self._lease.reason

    @property
    def remaining(self) -> float:
        """Seconds that this process may act as the leader if it hears nothing more from ZooKeeper; 0.0 once lost."""
        return self._lease.remaining

    def wait_lost(self, timeout: float | None = None) -> bool:
        """Wait until the term is over, at most `timeout` seconds; True if it is over."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self.lost:
            left = self.remaining
            if end is not None:
                left = min(left, end - time.monotonic())
                if left <= 0:
                    return self.lost
            # No longer than the lease: it may pass while the SDK's threads can't run.
            self._over.wait(left)
        return True

    def check(self) -> None:
        """Raise LeadershipLost if the term is over."""
        reason = self._lease.reason
        if reason is not None:
            raise LeadershipLost(f"the term {self.fence} of the election {self.election!r} is over: {reason}")

    def resign(self) -> None:
        """End the term and let another candidate follow. Idempotent."""
        self._resign(self)

    def __repr__(self) -> str:
        state = f"lost: {self.reason}" if self.lost else f"{self.remaining:.1f}s left"
        return f"<Term {self.election!r} fence={self.fence} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("a term belongs to its process and can't be pickled; its .fence can")
