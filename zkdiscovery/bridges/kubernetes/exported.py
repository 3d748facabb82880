"""From instances to a Service without a selector and its EndpointSlices. Pure: any thread may use it.

The Service has a port `main`, and one for each further port by its name. A slice has a hundred endpoints or so, of one
address family and of the same ports, because instances of one service may listen at different ones. An instance stays
in its slice while others come and go.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zkdiscovery.bridges.kubernetes.objects import EXPORTED, SERVICE
from zkdiscovery.model import Instance, Status

MAIN = "main"
HTTPS = "https"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_ENDPOINTS = 100  # in a slice, on average at most; Kubernetes takes 1,000
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

_Ports = tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Wanted:
    """What one service is in Kubernetes.

    Attributes:
        ports: number by name, of the Service.
        slices: by name.
        members: the instances behind the endpoints of each slice, in their order.
        problems: reason by `SERVICE/INSTANCE` or `SERVICE`.
    """

    ports: dict[str, int] = field(default_factory=dict)
    slices: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, list[Instance]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def wanted(name: str, instances: Sequence[Instance], labels: Mapping[str, str]) -> Wanted:
    """Return what a service is in Kubernetes; `labels` are on all of it."""
    result = Wanted()
    if not _LABEL.fullmatch(name):
        result.problems[name] = "a Service has a name of at most 63 lower-case letters, digits and '-'"
        return result
    groups: dict[tuple[str, _Ports], list[Instance]] = defaultdict(list)
    for instance in sorted(instances, key=lambda instance: instance.id):
        try:
            family = f"IPv{ipaddress.ip_address(instance.host).version}"
        except ValueError:
            result.problems[f"{name}/{instance.id}"] = f"{instance.host} is a name, and Services need addresses"
            continue
        groups[family, _ports(name, instance, result.problems)].append(instance)
    result.ports = _service_ports([ports for (_, ports), members in groups.items() for _ in members])
    offered = any(instance.weight for instance in instances)
    for (family, ports), members in groups.items():
        for number, some in _buckets(members).items():
            text = repr((sorted(labels.items()), family, ports, number))
            slice_name = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
            result.members[slice_name] = list(some)
            result.slices[slice_name] = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": slice_name, "labels": {**labels, SERVICE: name, _MANAGED_BY: "zkdiscovery"}},
                "addressType": family,
                "ports": [{"name": port, "port": number, "protocol": "TCP"} for port, number in ports],
                "endpoints": [_endpoint(instance, offered=offered) for instance in some],
            }
    return result


def service_of(name: str, ports: Mapping[str, int], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a Service without a selector."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {"ports": service_ports(ports)},
    }


def service_ports(ports: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the ports of a Service."""
    return [{"name": name, "port": number, "protocol": "TCP"} for name, number in ports.items()]


def labels_of(registry: str) -> dict[str, str]:
    """Return the labels of all that is exported from a registry."""
    return {EXPORTED: registry}


def _ports(service: str, instance: Instance, problems: dict[str, str]) -> _Ports:
    ports = {MAIN: instance.port}
    if instance.tls_port is not None:
        ports[HTTPS] = instance.tls_port
    for name, number in instance.ports.items():
        if _LABEL.fullmatch(name):
            ports.setdefault(name, number)
        else:
            problems[f"{service} port {name}"] = "a port of a Service has a name of lower-case letters, digits and '-'"
    return tuple(sorted(ports.items()))


def _service_ports(all_ports: Sequence[_Ports]) -> dict[str, int]:
    """Return the number that most instances have, for each name; no two names have the same number."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for ports in all_ports:
        for name, number in ports:
            counts[name][number] += 1
    result: dict[str, int] = {}
    for name in sorted(counts, key=lambda name: (name != MAIN, name)):
        number = min(counts[name], key=lambda number: (-counts[name][number], number))
        if number not in result.values():
            result[name] = number
    return result


def _buckets(members: Sequence[Instance]) -> dict[int, list[Instance]]:
    """Return the members of each slice. The number of slices is a power of two, so it changes rarely."""
    count = 1 << (max(0, len(members) - 1) // _ENDPOINTS).bit_length()
    buckets: dict[int, list[Instance]] = defaultdict(list)
    for instance in members:
        buckets[zlib.crc32(instance.id.encode()) % count].append(instance)
    return buckets


def _endpoint(instance: Instance, *, offered: bool) -> dict[str, Any]:
    """Return an endpoint. One of weight 0 is ready only if there is no other."""
    up = instance.status is Status.UP
    conditions = {
        "ready": up and (instance.weight > 0 or not offered),
        "serving": up or instance.status is Status.DRAINING,
        "terminating": instance.status is Status.DRAINING,
    }
    zone = {"zone": instance.zone} if instance.zone else {}
    return {"addresses": [str(ipaddress.ip_address(instance.host))], "conditions": conditions, **zone}
