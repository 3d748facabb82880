"""Shards: the numbered parts of a task, each of which one member of a group holds at a time."""

from __future__ import annotations

from zkdiscovery.shards.base import LEAVE_TIMEOUT, BaseShards
from zkdiscovery.shards.claim import BaseShard, Claim
from zkdiscovery.shards.methods import ShardMethods
from zkdiscovery.shards.reading import ShardMember, ShardOwner, ShardReads, ShardTable
from zkdiscovery.shards.sharding import Sharding
from zkdiscovery.shards.shards import Shard, Shards

__all__ = [
    "LEAVE_TIMEOUT",
    "BaseShard",
    "BaseShards",
    "Claim",
    "Shard",
    "ShardMember",
    "ShardMethods",
    "ShardOwner",
    "ShardReads",
    "ShardTable",
    "Sharding",
    "Shards",
]
