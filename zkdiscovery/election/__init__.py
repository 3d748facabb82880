"""Leader election: candidates, terms with leases and fences."""

from __future__ import annotations

from zkdiscovery.election.candidate import Candidate
from zkdiscovery.election.decorator import while_leader
from zkdiscovery.election.election import Election, OnSuspend
from zkdiscovery.election.elections import Campaigns, Observers
from zkdiscovery.election.term import Term

__all__ = ["Campaigns", "Candidate", "Election", "Observers", "OnSuspend", "Term", "while_leader"]
