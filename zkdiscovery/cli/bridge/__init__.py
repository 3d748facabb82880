"""`bridge`: follow another system, such as a container engine; one command for each kind, and `remove`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zkdiscovery.cli.bridge.consul import consul
from zkdiscovery.cli.bridge.docker import docker
from zkdiscovery.cli.bridge.eureka import eureka
from zkdiscovery.cli.bridge.kubernetes import kubernetes
from zkdiscovery.cli.bridge.remove import remove

COMMANDS: Mapping[str, Callable[..., Any]] = {
    "consul": consul,
    "docker": docker,
    "eureka": eureka,
    "kubernetes": kubernetes,
    "remove": remove,
}
"""The commands of `bridge`, by name. A kind of source adds its own here."""
