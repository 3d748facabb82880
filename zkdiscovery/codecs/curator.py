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

import functools
import json
from types import ModuleType
from typing import Any

from zkdiscovery.codecs.base import MAX_DATA_BYTES, check_encoded, check_size
from zkdiscovery.codecs.metadata import SPRING, is_spring, over_metadata, to_metadata
from zkdiscovery.codecs.override import Override, override_from_json
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import Instance, Status

_SERVERSET_STATUS = {
    Status.STARTING: "STARTING",
    Status.UP: "ALIVE",
    Status.DOWN: "DEAD",
    Status.DRAINING: "STOPPING",
    Status.OUT_OF_SERVICE: "STOPPED",
}


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
        instance: Instance = _reader().read_instance(service, id, data)
        return instance


@functools.cache
def _reader() -> ModuleType:
    """Loaded when something is read: pydantic takes as long to load as all the rest."""
    from zkdiscovery.codecs import curator_reader  # noqa: PLC0415

    return curator_reader


def _stored(previous: bytes | None) -> dict[str, Any]:
    """The JSON of an instance that is written over; empty if there is none."""
    if previous is None or len(previous) > MAX_DATA_BYTES:
        return {}
    node: dict[str, Any] = _reader().read_json(previous)
    return node


def _fresh(instance: Instance) -> dict[str, Any]:
    """The JSON of an instance, in Curator's order."""
    node: dict[str, Any] = {
        "name": instance.service,
        "id": instance.id,
        "address": instance.host,
        "port": instance.port,
        "sslPort": instance.tls_port,
        "payload": {
            "@class": SPRING,
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
    if is_spring(payload):
        node["payload"] = payload | {"metadata": over_metadata(payload.get("metadata"), instance)}
    else:
        node["zkdiscovery"] = to_metadata(instance)
    if "serviceEndpoint" in old:
        node |= _for_serverset_and_nerve(instance)
    return node


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
