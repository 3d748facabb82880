"""A real ZooKeeper for tests, faults on the way to it, and real session expiry."""

from __future__ import annotations

from zkdiscovery.testing.ensemble.ensemble import ZookeeperEnsemble, ZookeeperMember
from zkdiscovery.testing.ensemble.start import zookeeper_ensemble
from zkdiscovery.testing.expiry import expire_session
from zkdiscovery.testing.proxy.proxy import FaultProxy
from zkdiscovery.testing.servers.server import ZookeeperServer
from zkdiscovery.testing.servers.start import zookeeper_server
from zkdiscovery.testing.static import StaticClient, static_client

__all__ = [
    "FaultProxy",
    "StaticClient",
    "ZookeeperEnsemble",
    "ZookeeperMember",
    "ZookeeperServer",
    "expire_session",
    "static_client",
    "zookeeper_ensemble",
    "zookeeper_server",
]
