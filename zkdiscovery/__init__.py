"""zkdiscovery: service registration, discovery, load balancing and leader election on Apache ZooKeeper.

from zkdiscovery import Client

client = Client("zk1:2181,zk2:2181", namespace="/shop")

@client.registered("payments", port=8080)
def serve(): ...

payments = client.discover("payments")
payments.wait_ready().pick().url
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zkdiscovery.balancing import Balancer, P2cEwma, Picker, Random, RoundRobin, Weighted
from zkdiscovery.client import Client
from zkdiscovery.discovery import Attempt, Service
from zkdiscovery.election import Candidate, Election, Term
from zkdiscovery.errors import (
    AccessDenied,
    AuthenticationFailed,
    ClientClosed,
    InvalidInstance,
    InvalidName,
    InvalidSettings,
    LeadershipLost,
    NodeChanged,
    NodeError,
    NodeExists,
    NodeMissing,
    NodeNotEmpty,
    NoInstanceAvailable,
    NoServerForTests,
    NotConnected,
    OperationTimeout,
    QuotaExceeded,
    RegistrationConflict,
    SessionExpired,
    UndecodableNode,
    UnsupportedServer,
    ZkDiscoveryError,
)
from zkdiscovery.lifecycle import close_on_signals
from zkdiscovery.model import Change, Instance, Snapshot, Status
from zkdiscovery.registration import Registration, RegistrationState
from zkdiscovery.session import State, Subscription

if TYPE_CHECKING:
    from zkdiscovery.settings import AclEntry, Auth, Guard, Settings, Tls

__version__ = "0.1.0"

_SETTINGS = frozenset({"AclEntry", "Auth", "Guard", "Settings", "Tls"})

__all__ = [
    "AccessDenied",
    "AclEntry",
    "Attempt",
    "Auth",
    "AuthenticationFailed",
    "Balancer",
    "Candidate",
    "Change",
    "Client",
    "ClientClosed",
    "Election",
    "Guard",
    "Instance",
    "InvalidInstance",
    "InvalidName",
    "InvalidSettings",
    "LeadershipLost",
    "NoInstanceAvailable",
    "NoServerForTests",
    "NodeChanged",
    "NodeError",
    "NodeExists",
    "NodeMissing",
    "NodeNotEmpty",
    "NotConnected",
    "OperationTimeout",
    "P2cEwma",
    "Picker",
    "QuotaExceeded",
    "Random",
    "Registration",
    "RegistrationConflict",
    "RegistrationState",
    "RoundRobin",
    "Service",
    "SessionExpired",
    "Settings",
    "Snapshot",
    "State",
    "Status",
    "Subscription",
    "Term",
    "Tls",
    "UndecodableNode",
    "UnsupportedServer",
    "Weighted",
    "ZkDiscoveryError",
    "close_on_signals",
]


def __getattr__(name: str) -> Any:
    # Settings bring pydantic-settings, which is worth a quarter of the import time: loaded on use.
    if name in _SETTINGS:
        from zkdiscovery import settings  # noqa: PLC0415

        return getattr(settings, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SETTINGS])
