"""Wire formats: how an instance is stored in a znode.

Codecs know nothing of ZooKeeper. They turn an `Instance` into bytes, and bytes, which may hold anything, into an
`Instance`. The names here are those that every user of a codec needs; `resolve_codec` is in named.py, which loads the
default codec and with it the JSON parser.
"""

from zkdiscovery.codecs.base import MAX_DATA_BYTES, Codec

__all__ = ["MAX_DATA_BYTES", "Codec"]
