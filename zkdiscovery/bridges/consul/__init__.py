"""Consul: its services become ours, and with an export ours become services of an external node."""

from __future__ import annotations

from zkdiscovery.bridges.consul.source import ConsulSource, ExportingConsulSource

__all__ = ["ConsulSource", "ExportingConsulSource"]
