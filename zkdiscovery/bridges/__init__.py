"""Bridges: what another system knows, such as a container engine, becomes instances in ZooKeeper."""

from __future__ import annotations

from zkdiscovery.bridges.bridge import Bridge
from zkdiscovery.bridges.source import (
    Death,
    Exporter,
    Imported,
    Listing,
    Source,
    SourceRefused,
    SourceUnavailable,
)

__all__ = ["Bridge", "Death", "Exporter", "Imported", "Listing", "Source", "SourceRefused", "SourceUnavailable"]
