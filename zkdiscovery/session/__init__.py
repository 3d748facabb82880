"""The session with ZooKeeper: its state, requests, leases and watches. `transport/` has the connection."""

from __future__ import annotations

from zkdiscovery.session.bulk import Batch, Found, bulk_read, read_batches, why_unread
from zkdiscovery.session.digest import Digest, some_of
from zkdiscovery.session.lease import Lease, Proof, Unproven
from zkdiscovery.session.pipeline import ReadLimits, pipelined
from zkdiscovery.session.probe import ServerInfo, probe_server, probe_tick
from zkdiscovery.session.requests import (
    CONTAINER,
    EPHEMERAL,
    AccessEntry,
    Check,
    Create,
    CreateNumbered,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    Node,
    Request,
    SetData,
    Stat,
    Sync,
    Write,
)
from zkdiscovery.session.session import Session
from zkdiscovery.session.states import State, StateChange
from zkdiscovery.session.together import read_together
from zkdiscovery.session.translate import BROKEN, NO_NODE
from zkdiscovery.session.watches import EventKind, TreeWatch

__all__ = [
    "BROKEN",
    "CONTAINER",
    "EPHEMERAL",
    "NO_NODE",
    "AccessEntry",
    "Batch",
    "Check",
    "Create",
    "CreateNumbered",
    "Delete",
    "Digest",
    "EventKind",
    "Exists",
    "Found",
    "GetChildren",
    "GetData",
    "Lease",
    "Multi",
    "Node",
    "Proof",
    "ReadLimits",
    "Request",
    "ServerInfo",
    "Session",
    "SetData",
    "Stat",
    "State",
    "StateChange",
    "Sync",
    "TreeWatch",
    "Unproven",
    "Write",
    "bulk_read",
    "pipelined",
    "probe_server",
    "probe_tick",
    "read_batches",
    "read_together",
    "some_of",
    "why_unread",
]
