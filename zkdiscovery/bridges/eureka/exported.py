"""From our instances to Eureka's. Pure: any thread may use it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zkdiscovery.bridges.eureka.objects import MARK, VERSION, WEIGHT, ZONE, Json, Name, metadata_of
from zkdiscovery.model import Instance, Status

REVISION = "zkdiscovery-revision"  # key in the metadata of what a bridge has exported: a hash of all it says
RENEWAL, DURATION = 30, 90  # seconds, as Eureka's own clients have them


@dataclass(slots=True)
class Wanted:
    """What is to be registered.

    Attributes:
        instances: what is registered, by its name.
        problems: reason by `SERVICE`.
        sources: `SERVICE/INSTANCE` by name.
    """

    instances: dict[Name, Json] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    sources: dict[Name, str] = field(default_factory=dict)


def wanted(services: Mapping[str, Sequence[Instance]], registry: str) -> Wanted:
    """Return what is to be registered for these services of a registry."""
    result = Wanted()
    apps: dict[str, str] = {}
    for service, instances in sorted(services.items()):
        app = service.upper()
        if not instances:
            continue
        if (other := apps.setdefault(app, service)) != service:
            result.problems[service] = f"Eureka can't tell its name from that of {other}"
            continue
        offered = any(instance.status is Status.UP and instance.weight for instance in instances)
        for instance in instances:
            name = Name(app, f"{registry}:{instance.id}")
            result.instances[name] = _registered(name, instance, registry, offered=offered)
            result.sources[name] = f"{service}/{instance.id}"
    return result


def revision_of(instance: Json) -> str | None:
    """Return the hash of what a bridge has exported."""
    return metadata_of(instance).get(REVISION)


def half_way(instance: Json) -> Json:
    """Return what comes between two statuses. It has no revision, so a bridge that finds it goes on."""
    return {**instance, "status": Status.DOWN.value, "metadata": {**instance["metadata"], REVISION: ""}}


def _registered(name: Name, instance: Instance, registry: str, *, offered: bool) -> Json:
    metadata = {**instance.metadata, MARK: registry}
    if instance.zone:
        metadata[ZONE] = instance.zone
    if instance.version:
        metadata[VERSION] = instance.version
    if instance.weight > 0 and instance.weight != 1:
        metadata[WEIGHT] = f"{instance.weight:g}"
    body: dict[str, Any] = {
        "instanceId": name.id,
        "app": name.app,
        "hostName": instance.host,
        "ipAddr": instance.host,
        "vipAddress": instance.service,
        "secureVipAddress": instance.service,
        "status": _status(instance, offered=offered),
        "port": {"$": instance.port, "@enabled": "true"},
        "securePort": {"$": instance.tls_port or 443, "@enabled": "true" if instance.tls_port else "false"},
        "dataCenterInfo": {
            "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
            "name": "MyOwn",
        },
        "leaseInfo": {"renewalIntervalInSecs": RENEWAL, "durationInSecs": DURATION},
    }
    text = json.dumps([body, metadata], sort_keys=True)
    body["metadata"] = {**metadata, REVISION: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return body


def _status(instance: Instance, *, offered: bool) -> str:
    """Return the status. One of weight 0 takes calls only if there is no other."""
    if instance.status is Status.DRAINING or (instance.status is Status.UP and not instance.weight and offered):
        return Status.OUT_OF_SERVICE.value
    return instance.status.value
