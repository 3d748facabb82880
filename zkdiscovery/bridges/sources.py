"""The sources of a namespace as anybody can see them, and the removal of what a retired one has left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from zkdiscovery.bridges.leadership import election_name
from zkdiscovery.bridges.naming import Key
from zkdiscovery.bridges.writer import Desired, Writer
from zkdiscovery.client import Client
from zkdiscovery.errors import AccessDenied, InvalidName, NodeMissing, RegistrationConflict
from zkdiscovery.session import Delete, GetChildren, GetData, Node, bulk_read
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import AWAY


@dataclass(frozen=True, slots=True)
class RunningBridge:
    """A bridge that runs.

    Attributes:
        id: `<hostname>:<pid>:<start>`.
        where: the address at which it reaches the source.
        since: seconds since the epoch; None if that can't be read.
        problems: reason by object for what it does not import.
    """

    id: str
    where: str
    since: float | None
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A source.

    Attributes:
        name: its name, which marks its instances.
        kind: what it is: `docker`, `kubernetes`; "" if that can't be read.
        identity: what tells it from others.
        clustered: True if its instances outlive its bridges.
        leader: id of the bridge that leads; None if there is none, or it has none.
        bridges: the bridges that run.
        away_since: seconds since the epoch at which it was lost; None while it can be reached.
        why: why it can't be reached.
    """

    name: str
    kind: str
    identity: str
    clustered: bool
    leader: str | None
    bridges: tuple[RunningBridge, ...]
    away_since: float | None = None
    why: str = ""


def read_sources(client: Client, timeout: float) -> list[SourceStatus]:
    """Read all sources, sorted by name.

    Raises:
        NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
    """
    core = client.slot.current()
    names = core.session.children(core.paths.bridges(), timeout=timeout)
    found = [_read_source(client, name, timeout) for name in names]
    return [status for status in found if status is not None]


def _read_source(client: Client, name: str, timeout: float) -> SourceStatus | None:
    core = client.slot.current()
    session, path = core.session, core.paths.bridge(name)

    def once(deadline: float, generation: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]] | None:
        try:
            node: Node = session.call(GetData(path), deadline=deadline, generation=generation)
            children: list[str] = session.call(GetChildren(path), deadline=deadline, generation=generation)
        except NodeMissing:  # reaped in this moment
            return None
        paths = [f"{path}/{child}" for child in sorted(children)]
        read = bulk_read(session, paths, generation=generation, deadline=deadline)
        return _texts(node.data), {
            each.rpartition("/")[2]: _texts(found.data) for each, found in read if isinstance(found, Node)
        }

    answer = session.retry(once, timeout)
    if answer is None:
        return None
    known, children = answer
    away = children.pop(AWAY, None)
    clustered = known.get("clustered") is True
    return SourceStatus(
        name,
        _text(known.get("kind")),
        _text(known.get("identity")),
        clustered,
        _leader(client, name, timeout) if clustered else None,
        tuple(_bridge(texts) for texts in children.values()),
        None if away is None else _number(away.get("since")) or 0.0,
        "" if away is None else _text(away.get("why")),
    )


def _leader(client: Client, name: str, timeout: float) -> str | None:
    with suppress(AccessDenied, InvalidName):
        leader = client.election(election_name(name)).leader(timeout)
        return None if leader is None else leader.id
    return None


def remove_source(client: Client, name: str, timeout: float) -> int:
    """Delete all that the bridges of a source have left. Return how many instances that were.

    Raises:
        RegistrationConflict: a bridge of the source runs, and would write it again.
        NodeMissing: there is no such source, and no instance of it.
        AccessDenied: an ACL forbids it; what was refused stays.
        NotConnected, OperationTimeout: not done within `timeout` seconds; doing it again is safe.
    """
    core = client.slot.current()
    path = core.paths.bridge(name)
    status = _read_source(client, name, timeout)
    if status is not None and status.bridges:
        who = ", ".join(bridge.id for bridge in status.bridges)
        raise RegistrationConflict(f"a bridge of {name!r} runs, and would write it again: stop {who}", path=path)
    left: dict[Key, None] = {
        Key(service, instance.id): None
        for service in client.service_names(timeout)
        for instance in client.instances(service, timeout)
        if instance.source == name
    }
    if status is None and not left:
        raise NodeMissing(f"there is no source {name!r}; `zkdiscovery bridges` lists what there is", path=path)
    desired: Desired = left
    for error in Writer(core, name).write(desired, None).values():
        raise error
    deadline = deadline_after(timeout)
    for each in (f"{path}/{AWAY}", path):
        with suppress(NodeMissing):
            core.session.call(Delete(each), deadline=deadline)
    return len(left)


def _bridge(texts: Mapping[str, Any]) -> RunningBridge:
    problems = texts.get("problems")
    found = problems if isinstance(problems, dict) else {}
    return RunningBridge(
        _text(texts.get("id")),
        _text(texts.get("where")),
        _number(texts.get("since")),
        {key: value for key, value in found.items() if isinstance(value, str)},
    )


def _texts(data: bytes) -> dict[str, Any]:
    """Return the fields of a node, which is untrusted; none if it holds anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
