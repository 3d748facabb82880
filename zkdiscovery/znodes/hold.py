"""A hold: a lease on a node, and a fence."""

from __future__ import annotations

import math
from collections.abc import Callable

from zkdiscovery.errors import HoldLost
from zkdiscovery.session import Check, Lease
from zkdiscovery.threads import Steps, run_steps


class BaseHold:
    """Something that this process has alone, until it loses or releases it. A lost hold never revives.

    All members read the clock themselves: `lost` is true from the deadline on, even if no thread of the SDK ran since.
    In a forked child the parent's hold is lost.

    Attributes:
        fence: transaction id of the node behind the hold. Later holds have larger ones; hand it to whatever you write
            to, and let that refuse smaller ones.
    """

    _error = HoldLost

    def __init__(self, name: str, fence: int, lease: Lease, release: Callable[[], None]) -> None:
        self._name = name
        self.fence = fence
        self._lease = lease
        self._release = release

    @property
    def lost(self) -> bool:
        """True once this process may no longer act as the holder."""
        return self._lease.reason is not None

    @property
    def reason(self) -> str | None:
        """The reason why the hold is over; None while it lasts."""
        return self._lease.reason

    @property
    def remaining(self) -> float:
        """Seconds that this process may act as the holder if it hears nothing more from ZooKeeper; 0.0 once lost.

        0.3 of the session timeout or more at the beginning; 0.5 to 0.6 of it from then on; less four times the delay
        where ZooKeeper's answers take longer than a hundredth of it.
        """
        return self._lease.remaining

    def check(self) -> None:
        """Check that the hold lasts.

        Raises:
            HoldLost: it is over. A term raises the subclass LeadershipLost.
        """
        reason = self._lease.reason
        if reason is not None:
            raise self.ended(reason)

    def condition(self) -> Check:
        """Return what ZooKeeper checks in a transaction that it executes for the holder alone: the node of the hold.

        No other node ever has the path of that node, so the clock of this process does not matter. Use it with
        `guard=hold`, where values are written.

        Raises:
            HoldLost: this process has released the hold, or the hold is that of the parent process.
        """
        if self._lease.given_up:
            self.check()
        return Check(self._lease.path)

    def ended(self, reason: str) -> HoldLost:
        """Make the error that says that the hold is over. A term makes the subclass LeadershipLost."""
        return self._error(f"{self._title} is over: {reason}")

    def release(self) -> None:
        """End the hold and let the next one in the queue follow. Never blocks; idempotent."""
        self._release()

    @property
    def _title(self) -> str:
        return f"the hold {self.fence} of {self._name!r}"

    def __repr__(self) -> str:
        reason = self.reason
        remaining = self.remaining
        left = f"{remaining:.1f}s left" if remaining < math.inf else "no end"  # granted by a static client
        state = left if reason is None else f"lost: {reason}"
        return f"<{type(self).__name__} {self._name!r} fence={self.fence} {state}>"

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__.lower()} belongs to its process and can't be pickled; its .fence can")

    def _losing(self, timeout: float | None) -> Steps[bool]:
        return self._lease.losing(timeout)


class Hold(BaseHold):
    """A hold of threads."""

    def wait_lost(self, timeout: float | None) -> bool:
        """Wait until the hold is over, at most `timeout` seconds, None: without limit; True if it is over.

        There is no default, because a caller who ignores the result must not take a timeout for the end of the hold.
        """
        return run_steps(self._losing(timeout))
