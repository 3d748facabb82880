"""Eureka: its instances become ours, and with an export ours are registered there."""

from __future__ import annotations

from zkdiscovery.bridges.eureka.source import EurekaSource, ExportingEurekaSource

__all__ = ["EurekaSource", "ExportingEurekaSource"]
