"""Discovery: watched caches, views that balance, attempts that measure, a guard against mass loss."""

from __future__ import annotations

from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.explain import Standing
from zkdiscovery.discovery.outcomes import outcome_of
from zkdiscovery.discovery.room import Discovery, make_view
from zkdiscovery.discovery.service import Attachment, Service

__all__ = ["Attachment", "Attempt", "Discovery", "Service", "Standing", "make_view", "outcome_of"]
