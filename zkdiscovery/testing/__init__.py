"""A real ZooKeeper for tests, faults on the way to it, and real session expiry.

Guarantees: importing this package loads nothing else; each name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

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

_HOME = {
    "FaultProxy": "proxy",
    "StaticClient": "static",
    "ZookeeperEnsemble": "ensemble",
    "ZookeeperMember": "ensemble",
    "ZookeeperServer": "server",
    "expire_session": "expiry",
    "static_client": "static",
    "zookeeper_ensemble": "ensemble",
    "zookeeper_server": "server",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
