"""Tasks of Swarm services, as a manager tells them, become instances. Pure functions.

Swarm calls a task `running` only after the container's health check has succeeded, if it has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zkdiscovery.bridges.docker.labels import Wanted
from zkdiscovery.bridges.docker.place import HOST, Attachment, Place, Published, address_of
from zkdiscovery.bridges.source import Imported
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import Status
from zkdiscovery.registration.address import is_loopback

_RUNNING = "running"
# An orphaned task is not among them: its node is out of reach, and the container may live.
_ENDED = frozenset({"complete", "shutdown", "failed", "rejected", "remove"})
_STACK = "com.docker.stack.namespace"


def labels_of(service: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of a task: those of its container, and above them those of its service."""
    return {**(_container_spec(task).get("Labels") or {}), **_service_labels(service)}


def container_of(task: Mapping[str, Any]) -> str | None:
    """Return the id of a task's container; None before there is one."""
    status = (task.get("Status") or {}).get("ContainerStatus") or {}
    return status.get("ContainerID") or None


def runs(task: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Does a task run, as far as the managers know?

    The last state of a task stays as it was when its node is lost, and Swarm starts another one elsewhere.
    """
    node = nodes.get(task.get("NodeID") or "")
    up = node is not None and (node.get("Status") or {}).get("State") != "down"
    return bool(up and (task.get("Status") or {}).get("State") == _RUNNING)


def has_ended(task: Mapping[str, Any]) -> bool:
    """Has the container of a task ended?"""
    return (task.get("Status") or {}).get("State") in _ENDED


def imported(
    task: Mapping[str, Any],
    service: Mapping[str, Any],
    node: Mapping[str, Any],
    wanted: Wanted,
    place: Place,
) -> Imported:
    """Return the instance that a running task is.

    Args:
        task: the task.
        service: its service.
        node: the node that it runs on.
        wanted: what its labels ask for.
        place: the surroundings, but for the machine, which is the node.

    Raises:
        InvalidInstance: it has no address that can be told.
    """
    networks = task.get("NetworksAttachments") or ()
    host, port = address_of(
        wanted,
        Place(lambda: _node_address(node, local=place.local), place.local, place.shared),
        on_host=any(_network_name(each) == HOST for each in networks),
        published=tuple(_published(task)),
        attached=tuple(_attached(networks)),
        project=_service_labels(service).get(_STACK, ""),
    )
    return Imported(
        wanted.service,
        task["ID"],
        host,
        port,
        status=Status.UP if task.get("DesiredState") == _RUNNING else Status.DRAINING,
        weight=wanted.weight,
        tags=wanted.tags,
        metadata=wanted.metadata,
        runtime=container_of(task),
        check=wanted.check,
    )


def _service_labels(service: Mapping[str, Any]) -> Mapping[str, str]:
    return (service.get("Spec") or {}).get("Labels") or {}


def _container_spec(task: Mapping[str, Any]) -> Mapping[str, Any]:
    return (task.get("Spec") or {}).get("ContainerSpec") or {}


def _node_address(node: Mapping[str, Any], *, local: bool) -> str:
    name = (node.get("Description") or {}).get("Hostname") or node.get("ID")
    address = str((node.get("Status") or {}).get("Addr") or "")
    if address in {"", "0.0.0.0"}:  # noqa: S104 - what some managers say of themselves
        address = str((node.get("ManagerStatus") or {}).get("Addr") or "").rpartition(":")[0].strip("[]")
    if not address:
        raise InvalidInstance(f"Swarm does not know the address of the node {name}")
    if is_loopback(address) and not local:
        raise InvalidInstance(
            f"Swarm's address of the node {name} is {address}, which callers on other machines can't reach; see"
            " `docker swarm init --advertise-addr`"
        )
    return address


def _published(task: Mapping[str, Any]) -> Iterator[Published]:
    for each in ((task.get("Status") or {}).get("PortStatus") or {}).get("Ports") or ():
        if each.get("PublishMode") == HOST and each.get("Protocol") == "tcp" and each.get("PublishedPort"):
            yield Published("", each["PublishedPort"], each["TargetPort"])


def _attached(networks: Any) -> Iterator[Attachment]:
    for each in networks:
        network = each.get("Network") or {}
        if (network.get("Spec") or {}).get("Ingress"):
            continue
        addresses = each.get("Addresses") or ()
        yield Attachment(
            _network_name(each), network.get("ID") or "", addresses[0].partition("/")[0] if addresses else ""
        )


def _network_name(attachment: Mapping[str, Any]) -> str:
    return ((attachment.get("Network") or {}).get("Spec") or {}).get("Name") or ""
