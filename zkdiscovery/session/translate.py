"""The errors for ZooKeeper's error codes, and the words for requests in messages."""

from __future__ import annotations

from typing import Any

from zkdiscovery.errors import (
    AccessDenied,
    AuthenticationFailed,
    ClientClosed,
    NodeChanged,
    NodeError,
    NodeExists,
    NodeMissing,
    NodeNotEmpty,
    NotConnected,
    OperationTimeout,
    QuotaExceeded,
    SessionExpired,
    UnsupportedServer,
    ZkDiscoveryError,
)

NO_NODE = -101

PASSING = (NotConnected, SessionExpired)  # the same request may succeed a moment later
BROKEN = (NotConnected, SessionExpired, OperationTimeout, ClientClosed)  # caused by the connection, not the request

# ZooKeeper's KeeperException.Code.
_BY_CODE: dict[int, tuple[type[ZkDiscoveryError], str]] = {
    -4: (NotConnected, "the connection to ZooKeeper was lost"),
    -6: (UnsupportedServer, "the server does not know the request; ZooKeeper 3.6 or later is needed"),
    -5: (NodeError, "the server can't read the request"),
    -7: (OperationTimeout, "the server gave up on the request"),
    -8: (NodeError, "the server does not accept the path or another argument"),
    -12: (SessionExpired, "the server does not know the session"),
    NO_NODE: (NodeMissing, "the node does not exist"),
    -102: (AccessDenied, "the ACL forbids it; give this client the right, or other credentials in Settings.auth"),
    -103: (NodeChanged, "the node changed in between"),
    -108: (NodeMissing, "the parent is ephemeral and can't have children"),
    -110: (NodeExists, "the node exists already"),
    -111: (NodeNotEmpty, "the node has children"),
    -112: (SessionExpired, "the session has expired"),
    -113: (AccessDenied, "invalid callback"),
    -114: (AccessDenied, "the server does not accept the ACL; check Settings.acl and Settings.auth"),
    -115: (AuthenticationFailed, "the server refuses the credentials"),
    -118: (NotConnected, "the session has moved to another server"),
    -119: (NotConnected, "the server is read-only: it has lost its quorum"),
    -120: (AccessDenied, "local sessions can't own ephemeral nodes; the server needs localSessionsUpgradingEnabled"),
    -121: (NodeError, "there is no such watch"),
    -122: (OperationTimeout, "the request waited too long at the server"),
    -124: (AuthenticationFailed, "the server closed the session: it asks for SASL authentication"),
    -125: (QuotaExceeded, "the quota of the path is used up"),
    -127: (NotConnected, "the server is overloaded and refused the request"),
}

# ZooKeeper's own servers answer none of these. Others that speak its protocol do, such as ClickHouse Keeper, and may
# have executed the request.
_OUTCOME_UNKNOWN = frozenset({-4, -7, -122})

_LONGEST_PATH = 600  # characters in a message; most paths are shorter


def error_for_code(code: int, request: object, server: str | None = None) -> ZkDiscoveryError:
    """Make the error for an answer's code. It names the request, its path and the server."""
    cls, reason = _BY_CODE.get(code, (NodeError, f"the server answered with the unknown error code {code}"))
    return cls(
        f"{describe(request)}: {reason}{f' (server {server})' if server else ''}",
        path=path_of(request),
        server=server,
        outcome_unknown=code in _OUTCOME_UNKNOWN,
    )


def path_of(request: object) -> str | None:
    """The path of a request; the first one of a transaction or a bulk read."""
    path = getattr(request, "path", None)
    if path is None:
        parts: Any = getattr(request, "operations", None) or getattr(request, "paths", None)
        if parts:
            path = parts[0] if isinstance(parts[0], str) else path_of(parts[0])
    return path if isinstance(path, str) else None


def describe(request: object) -> str:
    """Return what a request does, and on which path, for messages: printable, and without its data."""
    name = type(request).__name__
    words = {
        "Create": "create", "CreateNumbered": "create", "Delete": "delete", "SetData": "write",
        "Check": "check", "GetData": "read", "Exists": "look for", "GetChildren": "list the children of",
        "Sync": "sync", "SetWatches": "watch", "RemoveWatches": "unwatch",
    }  # fmt: skip
    if name == "Multi":
        return f"transaction of {len(request.operations)} on {_shown(path_of(request))}"  # type: ignore[attr-defined]
    if name == "MultiRead":
        return f"bulk read of {len(request.paths)} from {_shown(path_of(request))}"  # type: ignore[attr-defined]
    return f"{words.get(name, name)} {_shown(path_of(request) or '')}".strip()


def _shown(path: str | None) -> str:
    """A path for messages, made printable: anybody chooses names in ZooKeeper, even ones with control characters."""
    text = str(path)
    if len(text) > _LONGEST_PATH:
        text = f"{text[:_LONGEST_PATH]}…"
    return text if text.isprintable() else repr(text)[1:-1]
