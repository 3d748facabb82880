"""How Curator's JSON is read, whoever wrote it; see curator.py. Apart from it, for pydantic takes long to load.

Two ways lead to an instance: one for anything, and a fast one for plain instances as we write them. What the fast one
takes, the other one would take for the same.
"""

from __future__ import annotations

import functools
import re
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic takes `typing.TypedDict` from Python 3.12 on only

from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.codecs.metadata import Fields, is_spring, strings, take_fields
from zkdiscovery.errors import InvalidInstance, InvalidName, UndecodableNode
from zkdiscovery.model import (
    MAX_TIME,
    NO_METADATA,
    PLAIN_HOST,
    FrozenDict,
    Instance,
    Status,
    check_host,
    check_name,
    trusted_instance,
)

_KNOWN = 64  # different metadata that are remembered: a fleet has few, or one for each instance,
_LONGEST_KNOWN = 1024  # bytes, each

_Port = Annotated[int, Field(ge=1, le=65535)]
_Milliseconds = Annotated[float, Field(le=MAX_TIME * 1000)]


class _Node(TypedDict):
    """What is read of Curator's JSON. Nothing is converted."""

    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False)  # type: ignore[misc]
    address: str
    port: NotRequired[_Port | None]
    sslPort: NotRequired[_Port | None]
    registrationTimeUTC: NotRequired[_Milliseconds | None]
    enabled: NotRequired[bool | None]  # null is false, as for Java
    payload: NotRequired[Any]
    zkdiscovery: NotRequired[Any]


_NODE = TypeAdapter(_Node).validator
_TEXTS = TypeAdapter(dict[str, str], config=ConfigDict(strict=True)).validator


def _layout() -> re.Pattern[bytes]:
    """The JSON that we write for an instance that is UP and has neither further ports nor an override.

    Made of what is written, so that the two can't drift apart. A value that stands there again must be the same. No
    pattern of a value takes what JSON or a check would refuse, but for ports that are too high; and the metadata is
    looked into later: being without braces, it is an object there if and only if it is one by itself.
    """
    name = r"[A-Za-z0-9._:-]+"
    values = {
        "SERVICE": name,
        "ID": name,
        "HOST": PLAIN_HOST.pattern,
        "10001": r"[1-9][0-9]{0,4}",
        '"instance_status":"UP"': rf"[^{{}}]{{0,{_LONGEST_KNOWN}}}",
        "1000000001": r"0|[1-9][0-9]{0,13}",
    }
    sample = Instance("SERVICE", "HOST", 10001, id="ID", registered_at=1000000.001)
    layout = re.escape(CuratorCodec().encode(sample).decode())
    for number, (value, pattern) in enumerate(values.items(), 1):
        before, _, after = layout.partition(value)
        layout = f"{before}(?P<v{number}>{pattern}){after.replace(value, f'(?P=v{number})')}"
    return re.compile(layout.encode())


_PLAIN = _layout().fullmatch


def read_instance(service: str, id: str, data: bytes) -> Instance:
    """The instance in a znode that is not too large.

    Raises:
        UndecodableNode: there is none.
    """
    try:
        check_name(service, "the service name")
        check_name(id, "the instance id")
        return _plain(service, id, data) or _any(service, id, data)
    except ValidationError as error:
        reason = _reason(error)
    except (InvalidName, InvalidInstance) as error:
        reason = str(error)
    raise UndecodableNode(f"{id[:80]!r} of {service[:80]!r} is no instance in Curator's format: {reason}")


def read_json(data: bytes) -> dict[str, Any]:
    """The JSON of an instance; empty if it is none."""
    try:
        node = from_json(data)
    except ValueError:
        return {}
    return node if isinstance(node, dict) and "address" in node else {}


def _plain(service: str, id: str, data: bytes) -> Instance | None:
    """The instance, if it is plain and written by us."""
    match = _PLAIN(data)
    if match is None:
        return None
    _, _, host, digits, texts, milliseconds = match.groups()
    port = int(digits)
    try:
        (status, weight, zone, version, tags, ports), metadata = _known(texts)
    except ValidationError:
        return None
    if port > 65535:
        return None
    registered_at = int(milliseconds) / 1000 or None
    return trusted_instance(
        service, host.decode(), port, id, ports, None, status, weight, zone, version, tags, metadata, registered_at
    )


@functools.lru_cache(_KNOWN)
def _known(texts: bytes) -> tuple[Fields, FrozenDict[str]]:
    """What metadata without braces says. Instances of one service often have the same, and share it then."""
    return _split(_TEXTS.validate_json(b"{%b}" % texts))


def _any(service: str, id: str, data: bytes) -> Instance:
    """The instance, whoever wrote it."""
    node: _Node = _NODE.validate_json(data)
    host, port, tls_port = node["address"], node.get("port"), node.get("sslPort")
    check_host(host)
    if port is None and (port := tls_port) is None:
        raise InvalidInstance("it has neither port nor sslPort")
    (status, weight, zone, version, tags, ports), metadata = _split(_metadata(node))
    if node.get("enabled", True) is not True and status is Status.UP:
        status = Status.OUT_OF_SERVICE
    milliseconds = node.get("registrationTimeUTC") or 0
    registered_at = round(milliseconds) / 1000 if milliseconds >= 1 else None
    return trusted_instance(
        service, host, port, id, ports, tls_port, status, weight, zone, version, tags, metadata, registered_at
    )


def _metadata(node: _Node) -> dict[str, str]:
    payload = node.get("payload")
    if not is_spring(payload) and "zkdiscovery" in node:
        return strings(node["zkdiscovery"])
    return strings(payload.get("metadata")) if isinstance(payload, dict) else {}


def _split(texts: dict[str, str]) -> tuple[Fields, FrozenDict[str]]:
    """Stored metadata as an instance's fields and its own metadata."""
    fields = take_fields(texts)
    texts.pop("", None)
    return fields, FrozenDict(texts) if texts else NO_METADATA


def _reason(error: ValidationError) -> str:
    """The first thing that is wrong, without the data, which may be anything."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join([*(str(part) for part in first["loc"]), first["msg"]])[:200]
