"""The writer of Curator's JSON, anew or over what stands there already; see curator.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring as _quoted
from typing import Any

from zkdiscovery.codecs.metadata import SPRING, is_spring, offered, over_metadata, to_metadata
from zkdiscovery.codecs.override import OVERRIDE
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


def write_fresh(instance: Instance, known: Mapping[str, str] = NO_METADATA) -> str:
    """Return the JSON of an instance, in Curator's order; for `known` see `to_metadata`.

    It is put together by hand, because `json.dumps` takes three times as long.
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
    """Return a JSON object of values that are JSON already."""
    return f"{{{','.join([f'{_quoted(key)}:{value}' for key, value in values.items()])}}}"


def _endpoint(host: str, port: int) -> str:
    return f'{{"host":{host},"port":{port:d}}}'


def write_over(old: dict[str, Any], before: Instance, instance: Instance) -> dict[str, Any]:
    """Return `old`, with what the instance says differently from `before`, which was read from `old`."""
    fresh: dict[str, Any] = json.loads(write_fresh(instance, before.metadata))

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
