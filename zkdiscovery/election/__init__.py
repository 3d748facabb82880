"""Leader election: candidates, terms with leases and fences."""

from __future__ import annotations

from zkdiscovery.election.candidate import Candidate
from zkdiscovery.election.decorator import while_leader
from zkdiscovery.election.election import Election, OnSuspend, close_elections
from zkdiscovery.election.names import election_names
from zkdiscovery.election.room import Room
from zkdiscovery.election.term import Term

__all__ = ["Candidate", "Election", "OnSuspend", "Room", "Term", "close_elections", "election_names", "while_leader"]
