"""Discovery: watched caches, views that balance, attempts that measure, a guard against mass loss."""

from __future__ import annotations

from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.base import BaseService
from zkdiscovery.discovery.discovery import Discovery, ViewOptions
from zkdiscovery.discovery.explain import InstanceReport
from zkdiscovery.discovery.outcomes import outcome_of
from zkdiscovery.discovery.service import Service

__all__ = ["Attempt", "BaseService", "Discovery", "InstanceReport", "Service", "ViewOptions", "outcome_of"]
