"""Access control lists as they go over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkdiscovery.session.requests import AccessEntry

if TYPE_CHECKING:
    from zkdiscovery.settings import Acl

_PERMISSIONS = {"r": 1, "w": 2, "c": 4, "d": 8, "a": 16}


def acl_entries(acl: Acl) -> tuple[AccessEntry, ...]:
    """Make the entries of an access control list."""
    if acl == "open":
        return (AccessEntry(31, "world", "anyone"),)
    if acl == "creator":
        return (AccessEntry(31, "auth", ""),)
    return tuple(AccessEntry(sum(_PERMISSIONS[letter] for letter in set(e.permissions)), e.scheme, e.id) for e in acl)
