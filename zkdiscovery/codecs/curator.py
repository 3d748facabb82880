"""The default wire format: the JSON of Apache Curator's x-discovery with Spring Cloud Zookeeper's payload.

Guarantees:
- Curator and Spring Cloud read what is written here. An instance that is not UP, or has a weight of 0, says
  `instance_status=OUT_OF_SERVICE` to Spring and `enabled=false` to Curator. They heed it where they choose: Spring's
  load balancer with `spring.cloud.zookeeper.loadbalancer.enabled` as it is by default, and Curator's `ServiceProvider`.
  Lists of all instances have it, too.
- ServerSet and nerve readers (Prometheus, Synapse) read it too: their fields follow after Curator's.
- What Java wrote is read, `enabled=false` and `instance_status=OUT_OF_SERVICE` as OUT_OF_SERVICE. Only what can't be
  called, having no address or no port, is no instance; see metadata.py for the metadata.
- Writing over what others wrote keeps it, but for what the instance says differently. A payload that is not Spring's
  (null included) stays untouched, because Java readers cast it; our metadata then stands beside it, in a field
  `zkdiscovery`, which Java ignores. An operator's override stands in a field `zkdiscoveryOverride`.
- `@class` is compared, carried along and never resolved. Nothing is evaluated.
- The path decides: where the JSON has another name or id than the path (Curator's sequential nodes do), the instance
  has the path's, and the JSON keeps its own.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from json.encoder import encode_basestring as _quoted
from types import ModuleType
from typing import Any

from zkdiscovery.codecs.base import check_encoded, check_size
from zkdiscovery.codecs.metadata import SPRING, is_spring, offered, over_metadata, to_metadata
from zkdiscovery.codecs.override import OVERRIDE, override_to_json
from zkdiscovery.errors import InvalidInstance, UndecodableNode
from zkdiscovery.model import NO_METADATA, Instance, Status

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

    def encode(self, instance: Instance, previous: bytes | None = None) -> bytes:
        before = None if previous is None else self._known(instance, previous)
        if before is None and instance.override is None:
            return check_encoded(instance, _fresh(instance).encode())
        if previous is None or before is None:
            node = json.loads(_fresh(instance))
        else:
            node = _over(_reader().read_json(previous), before, instance)
        if instance.override is not None:
            node[OVERRIDE] = override_to_json(instance.override)
        try:
            text = json.dumps(node, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError as error:
            raise InvalidInstance(
                f"can't write instance {instance.id!r} of {instance.service!r} over what others stored there: {error}"
            ) from None
        return check_encoded(instance, text.encode())

    def _known(self, instance: Instance, previous: bytes) -> Instance | None:
        """The instance that stands there; None if there is none."""
        try:
            return self.decode(instance.service, instance.id, previous)
        except UndecodableNode:
            return None

    def decode(self, service: str, id: str, data: bytes) -> Instance:
        check_size(data)
        instance: Instance = _reader().read_instance(service, id, data)
        return instance


@functools.cache
def _reader() -> ModuleType:
    """Loaded when something is read: pydantic takes as long to load as all the rest."""
    from zkdiscovery.codecs import curator_reader  # noqa: PLC0415

    return curator_reader


def _fresh(instance: Instance, known: Mapping[str, str] = NO_METADATA) -> str:
    """The JSON of an instance, in Curator's order. Put together by hand: `json.dumps` takes three times as long.

    For `known` see `to_metadata`.
    """
    service, name, host = _quoted(instance.service), _quoted(instance.id), _quoted(instance.host)
    # Java builds URIs of the address as it is, and resolves it with brackets, too.
    address = f'"[{instance.host}]"' if ":" in instance.host else host
    port, tls_port = instance.port, instance.tls_port
    enabled, status = "", _SERVERSET_STATUS[instance.status]
    if not offered(instance):
        enabled = ',"enabled":false'  # Curator's default serializer leaves it out where it is true
        status = _SERVERSET_STATUS[Status.OUT_OF_SERVICE if instance.status is Status.UP else instance.status]
    texts = to_metadata(instance, known)
    metadata = _members({key: _quoted(value) for key, value in texts.items()})
    others = _members({name: _endpoint(host, other) for name, other in instance.ports.items()})
    time = 0 if instance.registered_at is None else round(instance.registered_at * 1000)
    return (
        f'{{"name":{service},"id":{name},"address":{address},"port":{port:d}'
        f',"sslPort":{"null" if tls_port is None else format(tls_port, "d")}'
        f',"payload":{{"@class":"{SPRING}","id":{name},"name":{service},"metadata":{metadata}}}'
        f',"registrationTimeUTC":{time},"serviceType":"DYNAMIC"'
        f',"uriSpec":{_PLAIN_URI if tls_port is None else _TLS_URI}'
        # The rest is that of a ServerSet member and of a nerve node, without what Curator has, too.
        f'{enabled},"host":{host},"serviceEndpoint":{_endpoint(host, port)},"additionalEndpoints":{others}'
        f',"status":"{status}"}}'
    )


def _members(values: dict[str, str]) -> str:
    """A JSON object of values that are JSON already."""
    return f"{{{','.join([f'{_quoted(key)}:{value}' for key, value in values.items()])}}}"


def _endpoint(host: str, port: int) -> str:
    return f'{{"host":{host},"port":{port:d}}}'


def _over(old: dict[str, Any], before: Instance, instance: Instance) -> dict[str, Any]:
    """The JSON that stands there, with what the instance says differently from `before`, which was read from it."""
    fresh: dict[str, Any] = json.loads(_fresh(instance, before.metadata))

    def differ(*fields: str) -> bool:
        return any(getattr(before, field) != getattr(instance, field) for field in fields)

    node = {key: value for key, value in old.items() if key != OVERRIDE}
    if differ("host"):
        node["address"] = fresh["address"]
    if differ("port", "tls_port"):
        node |= {"port": fresh["port"], "sslPort": fresh["sslPort"]}
    if (before.tls_port is None) != (instance.tls_port is None):
        node["uriSpec"] = fresh["uriSpec"]
    if differ("registered_at"):
        node["registrationTimeUTC"] = fresh["registrationTimeUTC"]
    if differ("status", "weight") and (not offered(instance) or "enabled" in old):
        node["enabled"] = offered(instance)
    payload = old.get("payload")
    if is_spring(payload):
        node["payload"] = payload | {"metadata": over_metadata(payload.get("metadata"), before, instance)}
    elif "zkdiscovery" in old or before != instance:
        node["zkdiscovery"] = over_metadata(old.get("zkdiscovery"), before, instance)
    if "serviceEndpoint" in old and before != instance:
        node |= {key: fresh[key] for key in _OF_SERVERSET_AND_NERVE}
    return node
