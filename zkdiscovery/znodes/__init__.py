"""What lives in ZooKeeper: where it stands, sets of children kept in step, nodes that exist while they are wanted."""

from __future__ import annotations

from zkdiscovery.znodes.loader import Loader
from zkdiscovery.znodes.owned import OnConflict, OwnedNode, OwnedState
from zkdiscovery.znodes.owned_nodes import OwnedNodes
from zkdiscovery.znodes.parents import make_container
from zkdiscovery.znodes.paths import Paths, name_of, parent_of
from zkdiscovery.znodes.watched import Delta, Marks, WatchedChildren

__all__ = [
    "Delta",
    "Loader",
    "Marks",
    "OnConflict",
    "OwnedNode",
    "OwnedNodes",
    "OwnedState",
    "Paths",
    "WatchedChildren",
    "make_container",
    "name_of",
    "parent_of",
]
