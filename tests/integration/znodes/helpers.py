"""Rights on nodes, given and taken."""

from __future__ import annotations

import struct

from zkdiscovery.session.requests import AccessEntry


class SetAcl:
    """Gives a node another ACL."""

    type = 7

    def __init__(self, path: str, *entries: AccessEntry) -> None:
        self.path = path
        self._entries = entries

    def serialize(self) -> bytes:
        def text(value: str) -> bytes:
            return struct.pack(">i", len(value)) + value.encode()

        entries = b"".join(struct.pack(">i", e.permissions) + text(e.scheme) + text(e.id) for e in self._entries)
        return text(self.path) + struct.pack(">i", len(self._entries)) + entries + struct.pack(">i", -1)

    def deserialize(self, _buffer: bytes, _offset: int) -> None:
        return None


OPEN = AccessEntry(31, "world", "anyone")
NO_READING = AccessEntry(30, "world", "anyone")
