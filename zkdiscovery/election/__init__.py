"""Leader election: candidates, terms with leases and fences."""

from __future__ import annotations

from zkdiscovery.election.base import LEAVE_TIMEOUT, RESTART_DELAY, BaseElection, OnSuspend
from zkdiscovery.election.candidate import Candidate
from zkdiscovery.election.decorator import LeaderDecorator
from zkdiscovery.election.election import Election
from zkdiscovery.election.elections import Campaigns, Observers
from zkdiscovery.election.term import BaseTerm, Term

__all__ = [
    "LEAVE_TIMEOUT",
    "RESTART_DELAY",
    "BaseElection",
    "BaseTerm",
    "Campaigns",
    "Candidate",
    "Election",
    "LeaderDecorator",
    "Observers",
    "OnSuspend",
    "Term",
]
