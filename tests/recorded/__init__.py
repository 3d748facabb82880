"""Answers of real servers, as bytes: what each version of ZooKeeper answers to the same requests on a new server.

`ZKDISCOVERY_ZOOKEEPER_VERSION=3.9.5 .venv/bin/python -m tests.recorded` records those of one version, in its own file.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from zkdiscovery.session.requests import (
    CONTAINER,
    EPHEMERAL,
    AccessEntry,
    Check,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    MultiRead,
    RemoveWatches,
    Request,
    SetData,
    SetWatches,
    Sync,
)

OPEN = (AccessEntry(31, "world", "anyone"),)
FOREIGN = (AccessEntry(31, "nonsense", "nobody"),)

# In this order, on one connection.
REQUESTS: dict[str, Request] = {
    "create": Create("/a", b"one", OPEN),
    "create an ephemeral node": Create("/a/ä", b"", OPEN, EPHEMERAL),
    "create a container": Create("/a/box", b"", OPEN, CONTAINER),
    "watch": SetWatches(["/a"]),
    "write": SetData("/a", b"two", 0),
    "read": GetData("/a"),
    "read a node without data": GetData("/a/ä"),
    "look for": Exists("/a"),
    "list": GetChildren("/a"),
    "sync": Sync("/a"),
    "transaction": Multi(
        [
            Create("/a/b", b"", OPEN, EPHEMERAL),
            Create("/a/c", b"three", OPEN),
            Create("/a/d", b"", OPEN, CONTAINER),
            SetData("/a/c", b"four"),
            Check("/a/c", 1),
            Delete("/a/d"),
        ]
    ),
    "transaction that fails": Multi([Create("/a/e", b"", OPEN), Create("/a/c", b"", OPEN), Delete("/a/b")]),
    "bulk read": MultiRead(["/a", "/missing", "/a/c"]),
    "delete": Delete("/a/b"),
    "unwatch": RemoveWatches("/a"),
    "unwatch again": RemoveWatches("/a"),
    "read a missing node": GetData("/missing"),
    "list a missing node": GetChildren("/missing"),
    "create a node that exists": Create("/a", b"", OPEN),
    "create a child of an ephemeral node": Create("/a/ä/b", b"", OPEN),
    "create with an unknown kind of ACL": Create("/b", b"", FOREIGN),
    "create at an invalid path": Create("/a/", b"", OPEN),
    "write another version": SetData("/a", b"", 7),
    "delete another version": Delete("/a", 7),
    "delete a node that has children": Delete("/a"),
}

_PLACE = Path(__file__).parent


def file_of(version: str) -> Path:
    """Where the answers of a version are."""
    return _PLACE / f"{version}.json"


def versions() -> list[str]:
    """Those that were recorded."""
    return sorted(path.stem for path in _PLACE.glob("*.json"))


def frames(version: str, name: str) -> list[bytes]:
    """What came for a request: messages without their lengths, first events, then the answer."""
    return [bytes.fromhex(frame) for frame in _said(version)["frames"][name]]


def srvr(version: str) -> str:
    """What the server says of itself."""
    return str(_said(version)["srvr"])


@functools.cache
def _said(version: str) -> Any:
    return json.loads(file_of(version).read_text())
