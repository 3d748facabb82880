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
from json.encoder import encode_basestring as _quoted
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
_OF_SERVERSET_AND_NERVE = ("host", "serviceEndpoint", "additionalEndpoints", "status")

# `scheme://address:port`. Curator's scheme is https where there is an sslPort, so that must be the port then.
_PLAIN_URI, _TLS_URI = (
    '{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},{"value":"address","variable":true}'
    f',{{"value":":","variable":false}},{{"value":"{port}","variable":true}}]}}'
    for port in ("port", "ssl-port")
)


class CuratorCodec:
    """Curator's JSON; see `Codec` for what the methods promise."""

    def encode(self, instance: Instance, previous: bytes | None = None, override: Override | None = None) -> bytes:
        old = _stored(previous)
        old.pop("override", None)
        text = _fresh(instance)
        if old or override is not None:
            node = json.loads(text)
            if old:
                node = _over(old, node, instance)
            if override is not None:
                node["override"] = override.to_json()
            try:
                text = json.dumps(node, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            except ValueError as error:
                raise InvalidInstance(
                    f"can't write instance {instance.id!r} of {instance.service!r} over what others stored there:"
                    f" {error}"
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


def _fresh(instance: Instance) -> str:
    """The JSON of an instance, in Curator's order. Put together by hand: `json.dumps` takes three times as long."""
    service, name, host = _quoted(instance.service), _quoted(instance.id), _quoted(instance.host)
    port, tls_port, status = instance.port, instance.tls_port, instance.status
    enabled = "" if status is Status.UP else ',"enabled":false'  # Curator's default serializer leaves it out
    metadata = _members({key: _quoted(value) for key, value in to_metadata(instance).items()})
    others = _members({name: _endpoint(host, other) for name, other in instance.ports.items()})
    time = 0 if instance.registered_at is None else round(instance.registered_at * 1000)
    return (
        f'{{"name":{service},"id":{name},"address":{host},"port":{port:d}'
        f',"sslPort":{"null" if tls_port is None else format(tls_port, "d")}'
        f',"payload":{{"@class":"{SPRING}","id":{name},"name":{service},"metadata":{metadata}}}'
        f',"registrationTimeUTC":{time},"serviceType":"DYNAMIC"'
        f',"uriSpec":{_PLAIN_URI if tls_port is None else _TLS_URI}'
        # The rest is that of a ServerSet member and of a nerve node, without what Curator has, too.
        f'{enabled},"host":{host},"serviceEndpoint":{_endpoint(host, port)},"additionalEndpoints":{others}'
        f',"status":"{_SERVERSET_STATUS[status]}"}}'
    )


def _members(values: dict[str, str]) -> str:
    """A JSON object of values that are JSON already."""
    return f"{{{','.join([f'{_quoted(key)}:{value}' for key, value in values.items()])}}}"


def _endpoint(host: str, port: int) -> str:
    return f'{{"host":{host},"port":{port:d}}}'


def _over(old: dict[str, Any], fresh: dict[str, Any], instance: Instance) -> dict[str, Any]:
    """The JSON that stands there, with what the instance says differently."""
    node = old | {key: fresh[key] for key in ("address", "sslPort", "registrationTimeUTC")}
    if old.get("port") is not None or instance.port != instance.tls_port:
        node["port"] = instance.port
    if (old.get("sslPort") is None) != (instance.tls_port is None):
        node["uriSpec"] = fresh["uriSpec"]
    if instance.status is not Status.UP or "enabled" in old:
        node["enabled"] = instance.status is Status.UP
    payload = old.get("payload")
    if is_spring(payload):
        node["payload"] = payload | {"metadata": over_metadata(payload.get("metadata"), instance)}
    else:
        node["zkdiscovery"] = fresh["payload"]["metadata"]
    if "serviceEndpoint" in old:
        node |= {key: fresh[key] for key in _OF_SERVERSET_AND_NERVE}
    return node
