"""Leader election: candidates, terms with leases and fences. Most clients have no part in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkdiscovery.lazy import lazy

if TYPE_CHECKING:
    from zkdiscovery.election.candidate import Candidate
    from zkdiscovery.election.decorator import while_leader
    from zkdiscovery.election.election import Election, close_elections, end_terms
    from zkdiscovery.election.names import election_names
    from zkdiscovery.election.room import Room
    from zkdiscovery.election.term import Term

__all__ = ["Candidate", "Election", "Room", "Term", "close_elections", "election_names", "end_terms", "while_leader"]

_HOMES = {
    "candidate": ("Candidate",),
    "decorator": ("while_leader",),
    "election": ("Election", "close_elections", "end_terms"),
    "names": ("election_names",),
    "room": ("Room",),
    "term": ("Term",),
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
