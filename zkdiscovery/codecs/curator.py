"""The default wire format: the JSON of Apache Curator's x-discovery with Spring Cloud Zookeeper's payload.

Guarantees:
- Curator and Spring Cloud read what is written here, and never call an instance that is not UP: it says
  `instance_status=OUT_OF_SERVICE` to Spring and `enabled=false` to Curator.
- ServerSet and nerve readers (Prometheus, Synapse) read it too: their fields follow after Curator's.
- What Java wrote is read, `enabled=false` and `instance_status=OUT_OF_SERVICE` as OUT_OF_SERVICE.
- Writing over what others wrote keeps it, but for what the instance says differently. A payload that is not Spring's
  (null included) stays untouched, for Java readers cast it; our metadata then stands beside it, in a field
  `zkdiscovery`, which Java ignores.
- `@class` is compared, carried along and never resolved. Nothing is evaluated.
- The path decides: where the JSON has another name or id than the path (Curator's sequential nodes do), the instance
  has the path's, and the JSON keeps its own.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NotRequired, TypeGuard, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic takes `typing.TypedDict` from Python 3.12 on only

from zkdiscovery.codecs.base import MAX_DATA_BYTES, check_encoded, check_size
from zkdiscovery.codecs.metadata import over_metadata, strings, take_fields, to_metadata
from zkdiscovery.codecs.override import Override, override_from_json
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

_SpringClass = Literal["org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"]
_SPRING: str = get_args(_SpringClass)[0]
_SERVERSET_STATUS = {
    Status.STARTING: "STARTING",
    Status.UP: "ALIVE",
    Status.DOWN: "DEAD",
    Status.DRAINING: "STOPPING",
    Status.OUT_OF_SERVICE: "STOPPED",
}

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


_SpringPayload = TypedDict("_SpringPayload", {"@class": _SpringClass, "metadata": dict[str, str]})


class _SpringNode(_Common):
    """The usual case apart, for speed: Spring's payload as it should be."""

    payload: _SpringPayload


_NODE = TypeAdapter(_Node).validator
_SPRING_NODE = TypeAdapter(_SpringNode).validator


class CuratorCodec:
    """Curator's JSON; see `Codec` for what the methods promise."""

    def encode(self, instance: Instance, previous: bytes | None = None, override: Override | None = None) -> bytes:
        old = _stored(previous)
        old.pop("override", None)
        node = _over(old, instance) if old else _fresh(instance)
        if override is not None:
            node["override"] = override.to_json()
        try:
            text = json.dumps(node, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError as error:
            raise InvalidInstance(
                f"can't write instance {instance.id!r} of {instance.service!r} over what others stored there: {error}"
            ) from None
        return check_encoded(instance, text.encode())

    def read_override(self, data: bytes) -> Override | None:
        return override_from_json(_stored(data).get("override"))

    def decode(self, service: str, id: str, data: bytes) -> Instance:
        check_size(data)
        try:
            return _instance(service, id, data)
        except ValidationError as error:
            reason = _reason(error)
        except (InvalidName, InvalidInstance) as error:
            reason = str(error)
        raise UndecodableNode(f"{id[:80]!r} of {service[:80]!r} is no instance in Curator's format: {reason}")


def _fresh(instance: Instance) -> dict[str, Any]:
    """The JSON of an instance, in Curator's order."""
    node: dict[str, Any] = {
        "name": instance.service,
        "id": instance.id,
        "address": instance.host,
        "port": instance.port,
        "sslPort": instance.tls_port,
        "payload": {
            "@class": _SPRING,
            "id": instance.id,
            "name": instance.service,
            "metadata": to_metadata(instance),
        },
        "registrationTimeUTC": _milliseconds(instance),
        "serviceType": "DYNAMIC",
        "uriSpec": _uri_spec(instance),
    }
    if instance.status is not Status.UP:
        node["enabled"] = False  # Curator's default serializer does not know the field when it writes
    return node | _for_serverset_and_nerve(instance)


def _over(old: dict[str, Any], instance: Instance) -> dict[str, Any]:
    """The JSON that stands there, with what the instance says differently."""
    node = old | {
        "address": instance.host,
        "sslPort": instance.tls_port,
        "registrationTimeUTC": _milliseconds(instance),
    }
    if old.get("port") is not None or instance.port != instance.tls_port:
        node["port"] = instance.port
    if (old.get("sslPort") is None) != (instance.tls_port is None):
        node["uriSpec"] = _uri_spec(instance)
    if instance.status is not Status.UP or "enabled" in old:
        node["enabled"] = instance.status is Status.UP
    payload = old.get("payload")
    if _is_spring(payload):
        node["payload"] = payload | {"metadata": over_metadata(payload.get("metadata"), instance)}
    else:
        node["zkdiscovery"] = to_metadata(instance)
    if "serviceEndpoint" in old:
        node |= _for_serverset_and_nerve(instance)
    return node


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
    if not _is_spring(payload) and "zkdiscovery" in node:
        return strings(node["zkdiscovery"])
    return strings(payload.get("metadata")) if isinstance(payload, dict) else {}


def _is_spring(payload: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(payload, dict) and payload.get("@class") == _SPRING


def _stored(previous: bytes | None) -> dict[str, Any]:
    """The JSON of an instance that is written over; empty if there is none."""
    if previous is None or len(previous) > MAX_DATA_BYTES:
        return {}
    try:
        node = from_json(previous)
    except ValueError:
        return {}
    return node if isinstance(node, dict) and "address" in node else {}


def _milliseconds(instance: Instance) -> int:
    return 0 if instance.registered_at is None else round(instance.registered_at * 1000)


def _uri_spec(instance: Instance) -> dict[str, Any]:
    """`scheme://address:port`. Curator's scheme is https where there is an sslPort, so that must be the port then."""
    port = "port" if instance.tls_port is None else "ssl-port"
    parts = (("scheme", True), ("://", False), ("address", True), (":", False), (port, True))
    return {"parts": [{"value": value, "variable": variable} for value, variable in parts]}


def _for_serverset_and_nerve(instance: Instance) -> dict[str, Any]:
    """The fields of a ServerSet member and of a nerve node, without those that Curator has too."""
    return {
        "host": instance.host,
        "serviceEndpoint": {"host": instance.host, "port": instance.port},
        "additionalEndpoints": {name: {"host": instance.host, "port": port} for name, port in instance.ports.items()},
        "status": _SERVERSET_STATUS[instance.status],
    }


def _reason(error: ValidationError) -> str:
    """The first thing that is wrong, without the data, which may be anything."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join([*(str(part) for part in first["loc"]), first["msg"]])[:200]
