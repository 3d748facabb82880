"""zkdiscovery: service registration, discovery, load balancing, leader election and locks on Apache ZooKeeper.

from zkdiscovery import Client

client = Client("zk1:2181,zk2:2181", namespace="/shop")

@client.registered("payments", port=8080)
def serve(): ...

payments = client.discover("payments")
payments.wait_ready().pick().url
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkdiscovery.lazy import lazy

if TYPE_CHECKING:
    from zkdiscovery.aio import (
        AsyncBarrier,
        AsyncClient,
        AsyncCounter,
        AsyncElection,
        AsyncHold,
        AsyncLock,
        AsyncReadWriteLock,
        AsyncRegistration,
        AsyncSemaphore,
        AsyncService,
        AsyncSubscription,
        AsyncTerm,
    )
    from zkdiscovery.balancing import (
        Balancer,
        Ejection,
        LeastInFlight,
        Maglev,
        Outcome,
        P2cEwma,
        Picker,
        PreferZone,
        Random,
        Rendezvous,
        RingHash,
        RoundRobin,
        Sticky,
        Subset,
        Tiers,
        Weighted,
        WeightedRoundRobin,
    )
    from zkdiscovery.client import Client
    from zkdiscovery.codecs import Codec
    from zkdiscovery.core import Core, Feature, Phase
    from zkdiscovery.discovery import Attempt, InstanceReport, Service, outcome_of
    from zkdiscovery.election import Candidate, Election, Term
    from zkdiscovery.errors import (
        AccessDenied,
        AuthenticationFailed,
        ClientClosed,
        CounterOverflow,
        HoldLost,
        InvalidInstance,
        InvalidName,
        InvalidSettings,
        LeadershipLost,
        LockTimeout,
        NodeChanged,
        NodeError,
        NodeExists,
        NodeMissing,
        NodeNotEmpty,
        NoInstanceAvailable,
        NoServerForTests,
        NotConnected,
        NoThreadAvailable,
        OperationTimeout,
        QuotaExceeded,
        RegistrationConflict,
        SessionExpired,
        UndecodableNode,
        UnsupportedServer,
        ZkDiscoveryError,
    )
    from zkdiscovery.lifecycle import close_on_signals
    from zkdiscovery.locks import Barrier, Contender, Counter, Lock, ReadWriteLock, Semaphore
    from zkdiscovery.model import Change, Instance, Override, Snapshot, Status
    from zkdiscovery.registration import Registration, RegistrationState
    from zkdiscovery.session import State
    from zkdiscovery.settings import AclEntry, Auth, Guard, Settings, Tls
    from zkdiscovery.threads import Subscription
    from zkdiscovery.znodes import Hold

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AclEntry",
    "AsyncBarrier",
    "AsyncClient",
    "AsyncCounter",
    "AsyncElection",
    "AsyncHold",
    "AsyncLock",
    "AsyncReadWriteLock",
    "AsyncRegistration",
    "AsyncSemaphore",
    "AsyncService",
    "AsyncSubscription",
    "AsyncTerm",
    "Attempt",
    "Auth",
    "AuthenticationFailed",
    "Balancer",
    "Barrier",
    "Candidate",
    "Change",
    "Client",
    "ClientClosed",
    "Codec",
    "Contender",
    "Core",
    "Counter",
    "CounterOverflow",
    "Ejection",
    "Election",
    "Feature",
    "Guard",
    "Hold",
    "HoldLost",
    "Instance",
    "InstanceReport",
    "InvalidInstance",
    "InvalidName",
    "InvalidSettings",
    "LeadershipLost",
    "LeastInFlight",
    "Lock",
    "LockTimeout",
    "Maglev",
    "NoInstanceAvailable",
    "NoServerForTests",
    "NoThreadAvailable",
    "NodeChanged",
    "NodeError",
    "NodeExists",
    "NodeMissing",
    "NodeNotEmpty",
    "NotConnected",
    "OperationTimeout",
    "Outcome",
    "Override",
    "P2cEwma",
    "Phase",
    "Picker",
    "PreferZone",
    "QuotaExceeded",
    "Random",
    "ReadWriteLock",
    "Registration",
    "RegistrationConflict",
    "RegistrationState",
    "Rendezvous",
    "RingHash",
    "RoundRobin",
    "Semaphore",
    "Service",
    "SessionExpired",
    "Settings",
    "Snapshot",
    "State",
    "Status",
    "Sticky",
    "Subscription",
    "Subset",
    "Term",
    "Tiers",
    "Tls",
    "UndecodableNode",
    "UnsupportedServer",
    "Weighted",
    "WeightedRoundRobin",
    "ZkDiscoveryError",
    "close_on_signals",
    "outcome_of",
]

# Importing the package costs nothing, so that its pytest plugin can be loaded before a coverage tool starts, and a
# process that only needs the model never loads kazoo.
_HOMES = {
    "aio": (
        "AsyncBarrier",
        "AsyncClient",
        "AsyncCounter",
        "AsyncElection",
        "AsyncHold",
        "AsyncLock",
        "AsyncReadWriteLock",
        "AsyncRegistration",
        "AsyncSemaphore",
        "AsyncService",
        "AsyncSubscription",
        "AsyncTerm",
    ),
    "balancing": (
        "Balancer",
        "Ejection",
        "LeastInFlight",
        "Maglev",
        "Outcome",
        "P2cEwma",
        "Picker",
        "PreferZone",
        "Random",
        "Rendezvous",
        "RingHash",
        "RoundRobin",
        "Sticky",
        "Subset",
        "Tiers",
        "Weighted",
        "WeightedRoundRobin",
    ),
    "client": ("Client",),
    "core": ("Core", "Feature", "Phase"),
    "codecs": ("Codec",),
    "discovery": ("Attempt", "Service", "InstanceReport", "outcome_of"),
    "election": ("Candidate", "Election", "Term"),
    "errors": (
        "AccessDenied",
        "AuthenticationFailed",
        "ClientClosed",
        "CounterOverflow",
        "HoldLost",
        "InvalidInstance",
        "InvalidName",
        "InvalidSettings",
        "LeadershipLost",
        "LockTimeout",
        "NoInstanceAvailable",
        "NoServerForTests",
        "NoThreadAvailable",
        "NodeChanged",
        "NodeError",
        "NodeExists",
        "NodeMissing",
        "NodeNotEmpty",
        "NotConnected",
        "OperationTimeout",
        "QuotaExceeded",
        "RegistrationConflict",
        "SessionExpired",
        "UndecodableNode",
        "UnsupportedServer",
        "ZkDiscoveryError",
    ),
    "lifecycle": ("close_on_signals",),
    "locks": ("Barrier", "Contender", "Counter", "Lock", "ReadWriteLock", "Semaphore"),
    "model": ("Change", "Instance", "Override", "Snapshot", "Status"),
    "registration": ("Registration", "RegistrationState"),
    "session": ("State",),
    "settings": ("AclEntry", "Auth", "Guard", "Settings", "Tls"),
    "threads": ("Subscription",),
    "znodes": ("Hold",),
}
__getattr__, __dir__ = lazy(__name__, _HOMES)
