"""Discovery: watched caches, views that balance, attempts that measure, a guard against mass loss."""

from __future__ import annotations

from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.room import Discovery, make_view
from zkdiscovery.discovery.service import Service

__all__ = ["Attempt", "Discovery", "Service", "make_view"]
