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
    from zkdiscovery.aio import AsyncBarrier as AsyncBarrier
    from zkdiscovery.aio import AsyncClient as AsyncClient
    from zkdiscovery.aio import AsyncConfig as AsyncConfig
    from zkdiscovery.aio import AsyncConfigStore as AsyncConfigStore
    from zkdiscovery.aio import AsyncCounter as AsyncCounter
    from zkdiscovery.aio import AsyncElection as AsyncElection
    from zkdiscovery.aio import AsyncHold as AsyncHold
    from zkdiscovery.aio import AsyncLock as AsyncLock
    from zkdiscovery.aio import AsyncReadWriteLock as AsyncReadWriteLock
    from zkdiscovery.aio import AsyncRegistration as AsyncRegistration
    from zkdiscovery.aio import AsyncSemaphore as AsyncSemaphore
    from zkdiscovery.aio import AsyncService as AsyncService
    from zkdiscovery.aio import AsyncShard as AsyncShard
    from zkdiscovery.aio import AsyncShards as AsyncShards
    from zkdiscovery.aio import AsyncSubscription as AsyncSubscription
    from zkdiscovery.aio import AsyncTerm as AsyncTerm
    from zkdiscovery.balancing import Balancer as Balancer
    from zkdiscovery.balancing import Ejection as Ejection
    from zkdiscovery.balancing import LeastInFlight as LeastInFlight
    from zkdiscovery.balancing import Maglev as Maglev
    from zkdiscovery.balancing import Outcome as Outcome
    from zkdiscovery.balancing import P2cEwma as P2cEwma
    from zkdiscovery.balancing import Picker as Picker
    from zkdiscovery.balancing import PreferZone as PreferZone
    from zkdiscovery.balancing import Random as Random
    from zkdiscovery.balancing import Rendezvous as Rendezvous
    from zkdiscovery.balancing import RingHash as RingHash
    from zkdiscovery.balancing import RoundRobin as RoundRobin
    from zkdiscovery.balancing import Sticky as Sticky
    from zkdiscovery.balancing import Subset as Subset
    from zkdiscovery.balancing import Tiers as Tiers
    from zkdiscovery.balancing import Weighted as Weighted
    from zkdiscovery.balancing import WeightedRoundRobin as WeightedRoundRobin
    from zkdiscovery.client import Client as Client
    from zkdiscovery.codecs import Codec as Codec
    from zkdiscovery.config import Config as Config
    from zkdiscovery.config import ConfigChange as ConfigChange
    from zkdiscovery.config import ConfigDocument as ConfigDocument
    from zkdiscovery.config import ConfigReader as ConfigReader
    from zkdiscovery.config import ConfigRejection as ConfigRejection
    from zkdiscovery.config import ConfigRevision as ConfigRevision
    from zkdiscovery.config import ConfigRollout as ConfigRollout
    from zkdiscovery.config import ConfigSource as ConfigSource
    from zkdiscovery.config import ConfigStore as ConfigStore
    from zkdiscovery.config import Draft as Draft
    from zkdiscovery.config import Encrypted as Encrypted
    from zkdiscovery.config import KeyChange as KeyChange
    from zkdiscovery.config import Keyring as Keyring
    from zkdiscovery.core import Core as Core
    from zkdiscovery.core import Feature as Feature
    from zkdiscovery.core import Phase as Phase
    from zkdiscovery.discovery import Attempt as Attempt
    from zkdiscovery.discovery import InstanceReport as InstanceReport
    from zkdiscovery.discovery import Service as Service
    from zkdiscovery.discovery import outcome_of as outcome_of
    from zkdiscovery.election import Candidate as Candidate
    from zkdiscovery.election import Election as Election
    from zkdiscovery.election import Term as Term
    from zkdiscovery.errors import AccessDenied as AccessDenied
    from zkdiscovery.errors import AuthenticationFailed as AuthenticationFailed
    from zkdiscovery.errors import ClientClosed as ClientClosed
    from zkdiscovery.errors import CounterOverflow as CounterOverflow
    from zkdiscovery.errors import HoldLost as HoldLost
    from zkdiscovery.errors import InvalidDocument as InvalidDocument
    from zkdiscovery.errors import InvalidInstance as InvalidInstance
    from zkdiscovery.errors import InvalidName as InvalidName
    from zkdiscovery.errors import InvalidSettings as InvalidSettings
    from zkdiscovery.errors import LeadershipLost as LeadershipLost
    from zkdiscovery.errors import LockTimeout as LockTimeout
    from zkdiscovery.errors import NodeChanged as NodeChanged
    from zkdiscovery.errors import NodeError as NodeError
    from zkdiscovery.errors import NodeExists as NodeExists
    from zkdiscovery.errors import NodeMissing as NodeMissing
    from zkdiscovery.errors import NodeNotEmpty as NodeNotEmpty
    from zkdiscovery.errors import NoInstanceAvailable as NoInstanceAvailable
    from zkdiscovery.errors import NoServerForTests as NoServerForTests
    from zkdiscovery.errors import NotConnected as NotConnected
    from zkdiscovery.errors import NoThreadAvailable as NoThreadAvailable
    from zkdiscovery.errors import OperationTimeout as OperationTimeout
    from zkdiscovery.errors import QuotaExceeded as QuotaExceeded
    from zkdiscovery.errors import RegistrationConflict as RegistrationConflict
    from zkdiscovery.errors import RolloutStopped as RolloutStopped
    from zkdiscovery.errors import SessionExpired as SessionExpired
    from zkdiscovery.errors import UndecodableNode as UndecodableNode
    from zkdiscovery.errors import UnsupportedServer as UnsupportedServer
    from zkdiscovery.errors import ZkDiscoveryError as ZkDiscoveryError
    from zkdiscovery.lifecycle import close_on_signals as close_on_signals
    from zkdiscovery.locks import Barrier as Barrier
    from zkdiscovery.locks import Contender as Contender
    from zkdiscovery.locks import Counter as Counter
    from zkdiscovery.locks import Lock as Lock
    from zkdiscovery.locks import ReadWriteLock as ReadWriteLock
    from zkdiscovery.locks import Semaphore as Semaphore
    from zkdiscovery.model import Change as Change
    from zkdiscovery.model import Instance as Instance
    from zkdiscovery.model import Override as Override
    from zkdiscovery.model import Snapshot as Snapshot
    from zkdiscovery.model import Status as Status
    from zkdiscovery.registration import Check as Check
    from zkdiscovery.registration import CheckReport as CheckReport
    from zkdiscovery.registration import CheckResult as CheckResult
    from zkdiscovery.registration import CheckState as CheckState
    from zkdiscovery.registration import CommandCheck as CommandCheck
    from zkdiscovery.registration import Registration as Registration
    from zkdiscovery.registration import RegistrationState as RegistrationState
    from zkdiscovery.registration import TcpCheck as TcpCheck
    from zkdiscovery.registration import TtlCheck as TtlCheck
    from zkdiscovery.registration.grpc_check import GrpcCheck as GrpcCheck
    from zkdiscovery.registration.http_check import HttpCheck as HttpCheck
    from zkdiscovery.session import State as State
    from zkdiscovery.settings import AclEntry as AclEntry
    from zkdiscovery.settings import Auth as Auth
    from zkdiscovery.settings import Guard as Guard
    from zkdiscovery.settings import Settings as Settings
    from zkdiscovery.settings import Tls as Tls
    from zkdiscovery.shards import Shard as Shard
    from zkdiscovery.shards import ShardMember as ShardMember
    from zkdiscovery.shards import ShardOwner as ShardOwner
    from zkdiscovery.shards import Shards as Shards
    from zkdiscovery.shards import ShardTable as ShardTable
    from zkdiscovery.threads import Subscription as Subscription
    from zkdiscovery.znodes import Hold as Hold

__version__ = "0.1.0"

# Importing the package costs nothing, so that its pytest plugin can be loaded before a coverage tool starts, and a
# process that only needs the model never loads kazoo.
_HOMES = {
    "aio": (
        "AsyncBarrier",
        "AsyncClient",
        "AsyncConfig",
        "AsyncConfigStore",
        "AsyncCounter",
        "AsyncElection",
        "AsyncHold",
        "AsyncLock",
        "AsyncReadWriteLock",
        "AsyncRegistration",
        "AsyncSemaphore",
        "AsyncService",
        "AsyncShard",
        "AsyncShards",
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
    "config": (
        "Config",
        "ConfigChange",
        "ConfigDocument",
        "ConfigReader",
        "ConfigRejection",
        "ConfigRevision",
        "ConfigRollout",
        "ConfigSource",
        "ConfigStore",
        "Draft",
        "Encrypted",
        "KeyChange",
        "Keyring",
    ),
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
        "InvalidDocument",
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
        "RolloutStopped",
        "SessionExpired",
        "UndecodableNode",
        "UnsupportedServer",
        "ZkDiscoveryError",
    ),
    "lifecycle": ("close_on_signals",),
    "locks": ("Barrier", "Contender", "Counter", "Lock", "ReadWriteLock", "Semaphore"),
    "model": ("Change", "Instance", "Override", "Snapshot", "Status"),
    "registration": (
        "Check",
        "CheckReport",
        "CheckResult",
        "CheckState",
        "CommandCheck",
        "Registration",
        "RegistrationState",
        "TcpCheck",
        "TtlCheck",
    ),
    "registration.grpc_check": ("GrpcCheck",),
    "registration.http_check": ("HttpCheck",),
    "session": ("State",),
    "settings": ("AclEntry", "Auth", "Guard", "Settings", "Tls"),
    "shards": ("Shard", "ShardMember", "ShardOwner", "ShardTable", "Shards"),
    "threads": ("Subscription",),
    "znodes": ("Hold",),
}
__all__ = [name for names in _HOMES.values() for name in names]
__getattr__, __dir__ = lazy(__name__, _HOMES)
