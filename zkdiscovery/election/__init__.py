"""Leader election: candidates, terms with leases and fences."""

from __future__ import annotations

from zkdiscovery.election.decorator import while_leader
from zkdiscovery.election.election import Candidate, Election, OnSuspend, Room
from zkdiscovery.election.term import Term

__all__ = ["Candidate", "Election", "OnSuspend", "Room", "Term", "while_leader"]
