"""The nodes of ZooKeeper: paths, watched children, owned nodes, queues and holds."""

from __future__ import annotations

from zkdiscovery.znodes.delta import Delta, Marks
from zkdiscovery.znodes.guarded import execute_writes
from zkdiscovery.znodes.hold import BaseHold, Hold
from zkdiscovery.znodes.loader import Loader
from zkdiscovery.znodes.numbered import NumberedNode
from zkdiscovery.znodes.owned import OnConflict, OwnedNode, OwnedState
from zkdiscovery.znodes.owned_nodes import OwnedNodes
from zkdiscovery.znodes.parents import make_container
from zkdiscovery.znodes.paths import AWAY, Paths, name_of, parent_of
from zkdiscovery.znodes.queue import QueuePlace
from zkdiscovery.znodes.watched import WatchedChildren
from zkdiscovery.znodes.writes import writes_to_replace

__all__ = [
    "AWAY",
    "BaseHold",
    "Delta",
    "Hold",
    "Loader",
    "Marks",
    "NumberedNode",
    "OnConflict",
    "OwnedNode",
    "OwnedNodes",
    "OwnedState",
    "Paths",
    "QueuePlace",
    "WatchedChildren",
    "execute_writes",
    "make_container",
    "name_of",
    "parent_of",
    "writes_to_replace",
]
