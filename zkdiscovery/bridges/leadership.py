"""The leadership among the bridges of a cluster: whoever leads writes, and ZooKeeper refuses all others.

Threads: the campaign runs on a thread of the election's; any thread asks for the term.
"""

from __future__ import annotations

from collections.abc import Callable

from zkdiscovery.client import Client
from zkdiscovery.election import Term


def election_name(source: str) -> str:
    """Return the name of the election among the bridges of a source."""
    return f"bridge-{source}"


class Leadership:
    """The part of one bridge in the election.

    Args:
        client: campaigns.
        source: name of the source.
        changed: called when a term begins or ends; must not block.
    """

    def __init__(self, client: Client, source: str, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._term: Term | None = None
        self._election = client.election(election_name(source))
        self._election.start(self._lead)

    @property
    def term(self) -> Term | None:
        """The term, while it lasts."""
        term = self._term
        return None if term is None or term.lost else term

    def step_aside(self, timeout: float) -> bool:
        """Let another bridge lead, if one waits. True if so.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: it is not known whether one waits.
        """
        term = self.term
        if term is None or len(self._election.candidates(timeout)) < 2:
            return False
        term.resign()
        return True

    def close(self, timeout: float) -> None:
        """Leave, so that another one follows at once."""
        self._election.close(timeout)

    def _lead(self, term: Term) -> None:
        self._term = term
        self._changed()
        term.wait_lost(None)
        self._changed()
