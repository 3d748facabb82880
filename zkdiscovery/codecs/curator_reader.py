"""How Curator's JSON is read, whoever wrote it; see curator.py. Apart from it, for pydantic takes long to load."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic takes `typing.TypedDict` from Python 3.12 on only

from zkdiscovery.codecs.metadata import SpringClass, is_spring, strings, take_fields
from zkdiscovery.errors import InvalidInstance, InvalidName, UndecodableNode
from zkdiscovery.model import (
    MAX_TIME,
    NO_METADATA,
    FrozenDict,
    Instance,
    Status,
    check_host,
    check_name,
    trusted_instance,
)

_Port = Annotated[int, Field(ge=1, le=65535)]
_Milliseconds = Annotated[float, Field(le=MAX_TIME * 1000)]


class _Common(TypedDict):
    """What is read of Curator's JSON, apart from the payload. Nothing is converted."""

    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False)  # type: ignore[misc]
    address: str
    port: NotRequired[_Port | None]
    sslPort: NotRequired[_Port | None]
    registrationTimeUTC: NotRequired[_Milliseconds | None]
    enabled: NotRequired[bool | None]  # null is false, as for Java
    zkdiscovery: NotRequired[Any]


class _Node(_Common):
    payload: NotRequired[Any]


_SpringPayload = TypedDict("_SpringPayload", {"@class": SpringClass, "metadata": dict[str, str]})


class _SpringNode(_Common):
    """The usual case apart, for speed: Spring's payload as it should be."""

    payload: _SpringPayload


_NODE = TypeAdapter(_Node).validator
_SPRING_NODE = TypeAdapter(_SpringNode).validator


def read_instance(service: str, id: str, data: bytes) -> Instance:
    """The instance in a znode that is not too large.

    Raises:
        UndecodableNode: there is none.
    """
    try:
        return _instance(service, id, data)
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


def _instance(service: str, id: str, data: bytes) -> Instance:
    node: _Common
    try:
        spring: _SpringNode = _SPRING_NODE.validate_json(data)
        node, texts = spring, spring["payload"]["metadata"]
    except ValidationError:
        foreign: _Node = _NODE.validate_json(data)
        node, texts = foreign, _foreign_metadata(foreign)
    check_name(service, "the service name")
    check_name(id, "the instance id")
    host, port, tls_port = node["address"], node.get("port"), node.get("sslPort")
    check_host(host)
    if port is None and (port := tls_port) is None:
        raise InvalidInstance("it has neither port nor sslPort")
    status, weight, zone, version, tags, ports = take_fields(texts)
    if node.get("enabled", True) is not True and status is Status.UP:
        status = Status.OUT_OF_SERVICE
    texts.pop("", None)
    metadata = FrozenDict(texts) if texts else NO_METADATA
    milliseconds = node.get("registrationTimeUTC") or 0
    registered_at = round(milliseconds) / 1000 if milliseconds >= 1 else None
    return trusted_instance(
        service, host, port, id, ports, tls_port, status, weight, zone, version, tags, metadata, registered_at
    )


def _foreign_metadata(node: _Node) -> dict[str, str]:
    payload = node.get("payload")
    if not is_spring(payload) and "zkdiscovery" in node:
        return strings(node["zkdiscovery"])
    return strings(payload.get("metadata")) if isinstance(payload, dict) else {}


def _reason(error: ValidationError) -> str:
    """The first thing that is wrong, without the data, which may be anything."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join([*(str(part) for part in first["loc"]), first["msg"]])[:200]
