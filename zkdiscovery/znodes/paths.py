"""Where things stand in ZooKeeper, below the namespace."""

from __future__ import annotations

from zkdiscovery.model import check_name


class Paths:
    """The layout: `/services/<name>/<id>` and `/elections/<name>/<guid>`."""

    def __init__(self, namespace: str) -> None:
        self.root = namespace.rstrip("/")

    def services(self) -> str:
        """Parent of all services."""
        return f"{self.root}/services"

    def service(self, name: str) -> str:
        """Parent of a service's instances. Raises InvalidName."""
        return f"{self.services()}/{check_name(name, 'the service name')}"

    def instance(self, service: str, instance_id: str) -> str:
        """One instance. Raises InvalidName."""
        return f"{self.service(service)}/{check_name(instance_id, 'the instance id')}"

    def elections(self) -> str:
        """Parent of all elections."""
        return f"{self.root}/elections"

    def election(self, name: str) -> str:
        """Parent of an election's candidates. Raises InvalidName."""
        return f"{self.elections()}/{check_name(name, 'the election name')}"


def parent_of(path: str) -> str:
    """The path one level up; `/` for the topmost."""
    return path.rpartition("/")[0] or "/"


def name_of(path: str) -> str:
    """The last segment of a path."""
    return path.rpartition("/")[2]
