"""What a bridge keeps of Kubernetes' objects: a few fields of each, because whole pods would fill the memory.

Each class has a `parse`, which takes an object as the API server writes it in JSON. Pure: any thread may use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from zkdiscovery.bridges.source import Death

Json = Mapping[str, Any]

NAME = "zkdiscovery/name"
"""Annotation of a Service: the name of ours; empty: the Service is not imported."""
EXPORTED = "zkdiscovery/registry"
"""Label of what a bridge exported, on Services and EndpointSlices: it is never imported."""
VERSION = "app.kubernetes.io/version"
"""Kubernetes' recommended label for the version of the software."""
SERVICE = "kubernetes.io/service-name"
"""Label of an EndpointSlice: the Service that it belongs to."""
_API_SERVER = ("default", "kubernetes")  # the Service that the API server makes for itself


@dataclass(frozen=True, slots=True)
class Service:
    """A Service.

    Attributes:
        namespace, name: of the Service.
        wanted: the annotation `zkdiscovery/name`; None: there is none.
        ports: names of its TCP ports, in the order of the Service.
        unready: True if its endpoints count as ready before their pods are.
    """

    namespace: str
    name: str
    wanted: str | None
    ports: tuple[str, ...]
    unready: bool

    @classmethod
    def parse(cls, found: Json) -> Self | None:
        """Return what is kept of it; None for one that is not to be imported."""
        metadata = found["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if EXPORTED in (metadata.get("labels") or {}) or (namespace, name) == _API_SERVER:
            return None
        spec = found.get("spec") or {}
        return cls(
            namespace,
            name,
            (metadata.get("annotations") or {}).get(NAME),
            tuple(port.get("name", "") for port in spec.get("ports") or () if port.get("protocol", "TCP") == "TCP"),
            spec.get("publishNotReadyAddresses") is True,
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of an EndpointSlice.

    Attributes:
        address: the first one; all of them lead to the same pod.
        ready, terminating: its conditions.
        zone, node: where it runs.
        pod: UID of its pod; None: an endpoint that no pod stands behind.
    """

    address: str
    ready: bool
    terminating: bool
    zone: str | None
    node: str | None
    pod: str | None

    @classmethod
    def parse(cls, found: Json) -> Self:
        """Return what is kept of it."""
        conditions = found.get("conditions") or {}
        target = found.get("targetRef") or {}
        return cls(
            found["addresses"][0],
            conditions.get("ready") is not False,  # "nil should be interpreted as true"
            conditions.get("terminating") is True,
            found.get("zone") or None,
            found.get("nodeName") or None,
            target.get("uid") if target.get("kind") == "Pod" else None,
        )


@dataclass(frozen=True, slots=True)
class Slice:
    """An EndpointSlice.

    Attributes:
        namespace, service: the Service that it belongs to.
        rank: of two slices that have an endpoint for the same pod, the one of the higher rank counts: IPv4 before IPv6,
            then the one that was written later.
        ports: number by name of its TCP ports; the name may be empty.
        tls: names of those that speak HTTPS.
        endpoints: its endpoints.
    """

    namespace: str
    service: str
    rank: tuple[bool, int]
    ports: Mapping[str, int]
    tls: frozenset[str]
    endpoints: tuple[Endpoint, ...]

    @classmethod
    def parse(cls, found: Json) -> Self | None:
        """Return what is kept of it; None for one that belongs to no Service, or that a bridge exported."""
        metadata = found["metadata"]
        labels = metadata.get("labels") or {}
        if EXPORTED in labels or not labels.get(SERVICE):
            return None
        ports = [
            (port.get("name") or "", port)
            for port in found.get("ports") or ()
            if port.get("port") and port.get("protocol", "TCP") == "TCP"
        ]
        version = metadata.get("resourceVersion", "")
        return cls(
            metadata["namespace"],
            labels[SERVICE],
            (found.get("addressType") != "IPv6", int(version) if version.isdigit() else 0),
            {name: port["port"] for name, port in ports},
            frozenset(name for name, port in ports if "https" in {name, port.get("appProtocol")}),
            tuple(Endpoint.parse(endpoint) for endpoint in found.get("endpoints") or () if endpoint.get("addresses")),
        )


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod.

    Attributes:
        uid, name: of the pod.
        finished: True if all its containers ended for good.
        terminating: True if it was deleted, and its containers may still run.
        ready: False if it is known not to be ready.
        created: as Kubernetes writes times, which sort as they passed.
        addresses: its own ones; none if it uses its node's network.
        version: of its software.
        deaths: the runs of its containers that ended.
    """

    uid: str
    name: str
    finished: bool
    terminating: bool
    ready: bool
    created: str
    addresses: tuple[str, ...]
    version: str | None
    deaths: tuple[Death, ...]

    @classmethod
    def parse(cls, found: Json) -> Self:
        """Return what is kept of it."""
        metadata, spec, status = found["metadata"], found.get("spec") or {}, found.get("status") or {}
        finished = status.get("phase") in {"Succeeded", "Failed"}
        uid = metadata["uid"]
        containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        return cls(
            uid,
            metadata["name"],
            finished,
            "deletionTimestamp" in metadata,
            not any(each["type"] == "Ready" and each["status"] == "False" for each in status.get("conditions") or ()),
            metadata.get("creationTimestamp", ""),
            () if spec.get("hostNetwork") else tuple(ip["ip"] for ip in status.get("podIPs") or () if ip.get("ip")),
            (metadata.get("labels") or {}).get(VERSION) or None,
            (Death(uid),) if finished else _deaths(uid, containers),
        )


def _deaths(uid: str, containers: Sequence[Json]) -> tuple[Death, ...]:
    """Return the former runs of containers, by the id of the container and by its name in the pod.

    A registration that names a pod and a container does not say which run made it. So only what is older than the end
    of the last run that ended counts as dead.
    """
    deaths = []
    for container in containers:
        states = (container.get("lastState") or {}, container.get("state") or {})
        ended = [state["terminated"] for state in states if state.get("terminated")]
        runs = (str(former.get("containerID") or "").rpartition("://")[2] for former in ended)
        deaths += [Death(run) for run in runs if run]
        if ended and (moment := ended[-1].get("finishedAt")):
            deaths.append(Death(f"{uid}/{container['name']}", datetime.fromisoformat(moment).timestamp()))
    return tuple(deaths)
