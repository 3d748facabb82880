"""A term of leadership."""

from __future__ import annotations

from zkdiscovery.errors import LeadershipLost
from zkdiscovery.znodes import BaseHold, Hold


class BaseTerm(BaseHold):
    """One leadership: the hold of an election, from winning it to its loss or resignation."""

    _error = LeadershipLost

    @property
    def election(self) -> str:
        """Name of the election."""
        return self._name

    def resign(self) -> None:
        """End the term and let another candidate follow, as `release` does. Never blocks; idempotent."""
        self.release()

    @property
    def _title(self) -> str:
        return f"the term {self.fence} of the election {self._name!r}"


class Term(BaseTerm, Hold):
    """One leadership: the hold of an election, from winning it to its loss or resignation."""
