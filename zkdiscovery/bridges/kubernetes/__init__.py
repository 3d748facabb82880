"""Kubernetes: its Services become services in ZooKeeper, and with an export ours become Services."""

from __future__ import annotations

from zkdiscovery.bridges.kubernetes.source import ExportingKubernetesSource, KubernetesSource

__all__ = ["ExportingKubernetesSource", "KubernetesSource"]
