"""The service of the tests in a Swarm, and what the manager says of it."""

from __future__ import annotations

import json
from typing import Any

from tests.interop.docker.engine import Engine
from tests.interop.docker.images import PORT


def create(swarm: Engine, *options: str, image: str) -> None:
    """Create the service, with a port of the machine for each task."""
    swarm.docker(
        "service", "create", "--detach", "--name", "web", "--publish", f"mode=host,target={PORT}",
        "--label", "zkdiscovery.name=web", "--label", f"zkdiscovery.port={PORT}", *options, image_id(swarm, image),
    )  # fmt: skip


def image_id(swarm: Engine, tag: str) -> str:
    """An image's id, which Swarm does not try to pull."""
    return swarm.docker("image", "inspect", "--format", "{{.Id}}", tag)


def tasks(swarm: Engine) -> list[Any]:
    """What the manager says of the service's tasks."""
    numbers = swarm.docker("service", "ps", "--quiet", "--no-trunc", "--filter", "desired-state=running", "web").split()
    return json.loads(swarm.docker("inspect", *numbers)) if numbers else []


def running(swarm: Engine) -> set[str]:
    """The ids of the tasks that are healthy."""
    return {each["ID"] for each in tasks(swarm) if each["Status"]["State"] == "running"}


def host_ports(swarm: Engine) -> set[tuple[str, int]]:
    """Where the machine serves the tasks."""
    return {("127.0.0.1", each["Status"]["PortStatus"]["Ports"][0]["PublishedPort"]) for each in tasks(swarm)}


def update_state(swarm: Engine) -> str:
    """The state of the service's update."""
    return swarm.docker("service", "inspect", "--format", "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}", "web")
