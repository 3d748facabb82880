"""The session with ZooKeeper. The only room that knows kazoo; nothing of kazoo leaves it."""

from __future__ import annotations

from zkdiscovery.session.bulk import bulk_read
from zkdiscovery.session.clock import lease_now
from zkdiscovery.session.dispatcher import Dispatcher, Subscription
from zkdiscovery.session.lease import Lease, Proof, Unproven
from zkdiscovery.session.probe import ServerInfo, probe_server
from zkdiscovery.session.requests import (
    CONTAINER,
    EPHEMERAL,
    Check,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    MultiRead,
    Node,
    SetData,
    Stat,
    Sync,
    Write,
)
from zkdiscovery.session.resolver import Address, Resolver
from zkdiscovery.session.session import GLANCE, Session
from zkdiscovery.session.states import State, StateChange
from zkdiscovery.session.translate import NO_NODE, error_for_code
from zkdiscovery.session.watches import EventKind, TreeWatch
from zkdiscovery.session.worker import Worker

__all__ = [
    "CONTAINER",
    "EPHEMERAL",
    "GLANCE",
    "NO_NODE",
    "Address",
    "Check",
    "Create",
    "Delete",
    "Dispatcher",
    "EventKind",
    "Exists",
    "GetChildren",
    "GetData",
    "Lease",
    "Multi",
    "MultiRead",
    "Node",
    "Proof",
    "Resolver",
    "ServerInfo",
    "Session",
    "SetData",
    "Stat",
    "State",
    "StateChange",
    "Subscription",
    "Sync",
    "TreeWatch",
    "Unproven",
    "Worker",
    "Write",
    "bulk_read",
    "error_for_code",
    "lease_now",
    "probe_server",
]
