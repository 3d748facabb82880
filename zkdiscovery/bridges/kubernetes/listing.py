"""From Services, EndpointSlices and pods to instances.

- An endpoint is DRAINING as soon as it terminates, or its pod was deleted; else UP if it is ready, else DOWN.
- A pod that is not ready makes its endpoint DOWN: the endpoint follows a moment later, and its container may be dead.
- An endpoint whose pod is not known is left out: the pod is gone, or the watch of pods has not told of it yet.
- An address belongs to one pod. The pod that lives and is younger has it, so an endpoint of the former one is left out.
- A pod is one instance, also if it has an address of each family.

Threads: one at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from zkdiscovery.bridges.kubernetes.objects import Endpoint, Pod, Service, Slice
from zkdiscovery.bridges.source import Imported
from zkdiscovery.errors import InvalidInstance, InvalidName
from zkdiscovery.model import Status
from zkdiscovery.validation import check_name, check_ports


class Made(NamedTuple):
    """An instance, and what it was made of."""

    service: Service
    endpoint: Endpoint
    pod: Pod | None
    instance: Imported


class Instances:
    """Makes the instances. Those of objects that have not changed are not made again: a change concerns few of them.

    Args:
        qualified: add the namespace to the names of Services, because two namespaces may have the same.
    """

    def __init__(self, *, qualified: bool) -> None:
        self._qualified = qualified
        self._made: dict[int, Made] = {}  # by the identity of the endpoint, which it keeps alive

    def of(
        self, services: Iterable[Service], slices: Iterable[Slice], pods: Sequence[Pod]
    ) -> tuple[list[Imported], dict[str, str]]:
        """Return the instances of what is there now, and the reason for each Service that can't be shown."""
        by_name = {(service.namespace, service.name): service for service in services}
        living = {pod.uid: pod for pod in pods if not pod.finished}
        owners = _owners(living.values())
        before, self._made = self._made, {}
        found: dict[tuple[str, str, int], Imported] = {}
        problems: dict[str, str] = {}
        for piece in sorted(slices, key=lambda piece: piece.rank):
            service = by_name.get((piece.namespace, piece.service))
            if service is None or service.wanted == "" or not piece.endpoints:
                continue
            try:
                name = _name(service, qualified=self._qualified)
                main, ports = _main_port(service, piece), _named_ports(piece)
            except (InvalidName, InvalidInstance) as error:
                problems[f"Service {piece.namespace}/{piece.service}"] = str(error)
                continue
            tls = next((number for port, number in piece.ports.items() if port in piece.tls), None)
            for endpoint in piece.endpoints:
                pod = None
                if endpoint.pod is not None:
                    pod = living.get(endpoint.pod)
                    if pod is None or owners.get(endpoint.address, pod) is not pod:
                        continue
                made = before.get(id(endpoint))
                if made is None or made.service is not service or made.pod is not pod:
                    made = Made(
                        service, endpoint, pod, _imported(name, service, piece, endpoint, pod, main, ports, tls)
                    )
                self._made[id(endpoint)] = made
                found[name, made.instance.object_id, main] = made.instance
        return list(found.values()), problems


def _owners(pods: Iterable[Pod]) -> dict[str, Pod]:
    """Return the pod of each address. The engine may give an address away before the former pod is gone."""
    owners: dict[str, Pod] = {}
    for pod in sorted(pods, key=lambda pod: (not pod.terminating, pod.created)):
        owners.update(dict.fromkeys(pod.addresses, pod))
    return owners


def _name(service: Service, *, qualified: bool) -> str:
    if service.wanted is not None:
        return check_name(service.wanted, "the annotation zkdiscovery/name")
    return f"{service.name}.{service.namespace}" if qualified else service.name


def _main_port(service: Service, piece: Slice) -> int:
    """Return the first port of the Service that the slice has. An unnamed one has an empty name in both."""
    for name in service.ports:
        if name in piece.ports:
            return piece.ports[name]
    raise InvalidInstance("it has no TCP port; name one in spec.ports, also if it is headless")


def _named_ports(piece: Slice) -> Mapping[str, int]:
    return check_ports({name: number for name, number in piece.ports.items() if name})


def _imported(
    name: str,
    service: Service,
    piece: Slice,
    endpoint: Endpoint,
    pod: Pod | None,
    main: int,
    ports: Mapping[str, int],
    tls: int | None,
) -> Imported:
    terminating = endpoint.terminating or (pod is not None and pod.terminating)
    ready = endpoint.ready and (pod is None or pod.ready or service.unready)
    about = {"namespace": piece.namespace, "pod": pod.name if pod else None, "node": endpoint.node}
    return Imported(
        name,
        endpoint.pod or f"{piece.namespace}.{piece.service}.{endpoint.address}",
        endpoint.address,
        main,
        ports=ports,
        tls_port=tls,
        status=Status.DRAINING if terminating else Status.UP if ready else Status.DOWN,
        zone=endpoint.zone,
        version=pod.version if pod else None,
        metadata={f"kubernetes.{key}": value for key, value in about.items() if value},
        runtime=endpoint.pod,
    )
