"""Wire formats: how an instance stands in a znode.

Codecs know nothing of ZooKeeper: they turn an `Instance` into bytes and bytes, which may hold anything, into an
`Instance` or an `UndecodableNode`. They keep no state but what they have read lately, so one serves all threads.
"""

from zkdiscovery.codecs.base import MAX_DATA_BYTES, Codec
from zkdiscovery.codecs.curator import CuratorCodec

__all__ = ["MAX_DATA_BYTES", "Codec", "CuratorCodec"]
