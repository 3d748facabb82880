"""From our instances to services of an external node of Consul: pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zkdiscovery.bridges.consul.objects import MARK, VERSION, ZONE
from zkdiscovery.model import Instance, Status

LONGEST_VALUE = 512  # characters of a value in the metadata
LONGEST_KEY = 128
_MOST_PAIRS = 64
_HEAVIEST = 65_535
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one instance is in Consul.

    Attributes:
        service: its service, as Consul says it.
        status: of its check.
        note: what the check says to people.
    """

    service: Mapping[str, Any]
    status: str
    note: str


def node_name(registry: str) -> str:
    """Return the name of the external node of a registry."""
    return f"zkdiscovery-{registry}"


def node_of(registry: str) -> dict[str, Any]:
    """Return the external node. No agent stands for it, and its address is used by nobody: each service has its own."""
    meta = {"external-node": "true", "external-probe": "false", MARK: registry}
    return {"Node": node_name(registry), "Address": "127.0.0.1", "Meta": meta}


def service_id(instance: Instance) -> str:
    """Return the id, which is unique on the node."""
    return f"{instance.service}:{instance.id}"


def check_id(service: str) -> str:
    """Return the id of the check of a service with this id."""
    return f"service:{service}"


def wanted(instance: Instance, registry: str) -> tuple[Wanted, str | None]:
    """Return what an instance is in Consul, and the reason if part of its metadata can't be shown."""
    meta = {_NOT_IN_KEYS.sub("_", key): value for key, value in instance.metadata.items()}
    meta |= {f"port-{_NOT_IN_KEYS.sub('_', name)}": str(port) for name, port in instance.ports.items()}
    own = {
        VERSION: instance.version, ZONE: instance.zone, "tls-port": instance.tls_port and str(instance.tls_port),
        MARK: registry,
    }  # fmt: skip
    meta |= {key: value for key, value in own.items() if value}
    kept = {key: meta[key] for key in meta if len(key) <= LONGEST_KEY and len(meta[key]) <= LONGEST_VALUE}
    first = sorted(kept, key=lambda key: (key not in own, key))[:_MOST_PAIRS]
    problem = None
    if len(first) < len(meta):
        left_out = ", ".join(sorted(meta.keys() - set(first)))
        problem = f"Consul takes {_MOST_PAIRS} values of at most {LONGEST_VALUE} characters, so it lacks {left_out}"
    status = "critical"
    if instance.status is Status.UP:
        status = "passing" if instance.weight > 0 else "warning"
    service = {
        "ID": service_id(instance),
        "Service": instance.service,
        "Tags": list(instance.tags),
        "Address": instance.host,
        "Port": instance.port,
        "Meta": {key: kept[key] for key in first},
        "Weights": {"Passing": max(1, min(_HEAVIEST, round(instance.weight))), "Warning": 0},
    }
    return Wanted(service, status, f"{instance.status} in ZooKeeper"), problem


def is_there(found: Mapping[str, Any], service: Mapping[str, Any]) -> bool:
    """Return True if Consul has exactly this service."""
    return all((found.get(key) or None) == (value or None) for key, value in service.items())


def writes_of(node: str, one: Wanted) -> list[dict[str, Any]]:
    """Return the operations that write an instance with its check."""
    number = one.service["ID"]
    check = {
        "Node": node,
        "CheckID": check_id(number),
        "Name": "Status in ZooKeeper",
        "Status": one.status,
        "Output": one.note,
        "ServiceID": number,
        "ServiceName": one.service["Service"],
    }
    return [
        {"Service": {"Verb": "set", "Node": node, "Service": dict(one.service)}},
        {"Check": {"Verb": "set", "Check": check}},
    ]


def removal_of(node: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the operations that remove a service of the node; its check goes with it."""
    named = {"ID": found["ID"], "Service": found["Service"]}
    return [{"Service": {"Verb": "delete", "Node": node, "Service": named}}]
