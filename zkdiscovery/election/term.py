"""A term of leadership: a lease, a fence, and an end."""

from __future__ import annotations

import math
from collections.abc import Callable

from zkdiscovery.errors import LeadershipLost
from zkdiscovery.session import Lease


class Term:
    """One leadership, from the election to its loss or resignation. A lost term never revives.

    Everything here reads the clock itself: `lost` is true from the deadline on, even if no thread of the SDK ran since.
    In a forked child the parent's term is lost.

    Attributes:
        election: name of the election.
        fence: transaction id of the candidacy. Later terms of one election have larger ones; hand it to whatever you
            write to, and let that refuse smaller ones.
    """

    def __init__(self, election: str, fence: int, lease: Lease, resign: Callable[[], None]) -> None:
        self.election = election
        self.fence = fence
        self._lease = lease
        self._resign = resign

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
        """Seconds that this process may act as the leader if it hears nothing more from ZooKeeper; 0.0 once lost.

        0.3 of the session timeout or more when the term begins; 0.5 to 0.6 of it from then on; less four times the
        delay where ZooKeeper's answers take longer than a hundredth of it.
        """
        return self._lease.remaining

    def wait_lost(self, timeout: float | None) -> bool:
        """Wait until the term is over, at most `timeout` seconds, None: without limit; True if it is over.

        There is no default, because whoever forgets to look at the answer must not take a time that is over for a term
        that is.
        """
        return self._lease.wait(timeout)

    def check(self) -> None:
        """Raise LeadershipLost if the term is over."""
        reason = self._lease.reason
        if reason is not None:
            raise LeadershipLost(f"the term {self.fence} of the election {self.election!r} is over: {reason}")

    def resign(self) -> None:
        """End the term and let another candidate follow. Never blocks; idempotent."""
        self._resign()

    def _disown(self) -> None:
        """In a forked child."""
        self._lease.disown()
        self._resign = _nothing

    def __repr__(self) -> str:
        reason = self.reason
        remaining = self.remaining
        left = f"{remaining:.1f}s left" if remaining < math.inf else "no end"  # granted by a static client
        state = left if reason is None else f"lost: {reason}"
        return f"<Term {self.election!r} fence={self.fence} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("a term belongs to its process and can't be pickled; its .fence can")


def _nothing() -> None:
    """What a forked child's resignation does."""
