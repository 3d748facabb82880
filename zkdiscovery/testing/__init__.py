"""A real ZooKeeper for tests, faults on the way to it, and real session expiry.

Guarantees: importing this package loads nothing else; each name is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkdiscovery.lazy import lazy

if TYPE_CHECKING:
    from zkdiscovery.testing.ensemble import ZookeeperEnsemble, ZookeeperMember, zookeeper_ensemble
    from zkdiscovery.testing.expiry import expire_session
    from zkdiscovery.testing.proxy import FaultProxy
    from zkdiscovery.testing.server import ZookeeperServer, zookeeper_server
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

_HOMES = {
    "ensemble": ("ZookeeperEnsemble", "ZookeeperMember", "zookeeper_ensemble"),
    "expiry": ("expire_session",),
    "proxy": ("FaultProxy",),
    "server": ("ZookeeperServer", "zookeeper_server"),
    "static": ("StaticClient", "static_client"),
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
