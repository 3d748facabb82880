"""The paths of services, elections, locks, shards, documents and records of jobs in ZooKeeper."""

from __future__ import annotations

from zkdiscovery.validation import check_name

AWAY = "away"  # the child of a source of bridges that says that the source can't be reached


class Paths:
    """The layout: `<base path>/<name>/<id>` of services, and below the namespace `elections/<name>/<guid>`,
    `jobs/<name>`, `locks/<name>`, `semaphores/<name>`, `counters/<name>`, `barriers/<name>`,
    `shards/<name>`, `config/documents/<name>`, `config/readers`, `bridges/<source>` and
    `share/<service>/<id>/<standby>`.

    Args:
        namespace: path below which everything lives.
        base_path: parent of all services, which may be elsewhere; None: `services` below the namespace.
    """

    def __init__(self, namespace: str, base_path: str | None = None) -> None:
        self.root = namespace.rstrip("/")
        self._base_path = base_path or f"{self.root}/services"

    def services(self) -> str:
        """Parent of all services."""
        return self._base_path

    def service(self, name: str) -> str:
        """Parent of a service's instances. Raises InvalidName."""
        return f"{self.services()}/{check_name(name, 'the service name')}"

    def instance(self, service: str, instance_id: str) -> str:
        """One instance. Raises InvalidName."""
        return f"{self.service(service)}/{check_name(instance_id, 'the instance id')}"

    def share(self, service: str, instance_id: str) -> str:
        """Parent of the processes that share an instance. Raises InvalidName."""
        service, instance_id = check_name(service, "the service name"), check_name(instance_id, "the instance id")
        return f"{self.root}/share/{service}/{instance_id}"

    def elections(self) -> str:
        """Parent of all elections."""
        return f"{self.root}/elections"

    def election(self, name: str) -> str:
        """Parent of an election's candidates. Raises InvalidName."""
        return f"{self.elections()}/{check_name(name, 'the election name')}"

    def locks(self) -> str:
        """Parent of all locks of the namespace."""
        return f"{self.root}/locks"

    def lock(self, name: str) -> str:
        """Parent of a lock's places; a name that begins with `/` is that path itself. Raises InvalidName."""
        return self._shared(self.locks(), name, "the lock name")

    def semaphores(self) -> str:
        """Parent of all semaphores of the namespace."""
        return f"{self.root}/semaphores"

    def semaphore(self, name: str) -> str:
        """Parent of a semaphore's nodes; a name that begins with `/` is that path itself. Raises InvalidName."""
        return self._shared(self.semaphores(), name, "the semaphore name")

    def counter(self, name: str) -> str:
        """A counter's node; a name that begins with `/` is that path itself. Raises InvalidName."""
        return self._shared(f"{self.root}/counters", name, "the counter name")

    def barrier(self, name: str) -> str:
        """Parent of a barrier's parties; a name that begins with `/` is that path itself. Raises InvalidName."""
        return self._shared(f"{self.root}/barriers", name, "the barrier name")

    def all_shards(self) -> str:
        """Parent of all shards."""
        return f"{self.root}/shards"

    def shards(self, name: str) -> str:
        """Parent of the nodes of some shards. Raises InvalidName."""
        return f"{self.all_shards()}/{check_name(name, 'the name of shards')}"

    def documents(self) -> str:
        """Parent of all documents of the config centre."""
        return f"{self.root}/config/documents"

    def document(self, name: str) -> str:
        """Parent of the nodes of a document. Raises InvalidName."""
        return f"{self.documents()}/{check_name(name, 'the name of a document')}"

    def config_readers(self) -> str:
        """Parent of all readers of documents."""
        return f"{self.root}/config/readers"

    def bridges(self) -> str:
        """Parent of all sources of bridges."""
        return f"{self.root}/bridges"

    def bridge(self, source: str) -> str:
        """A source of bridges, and the parent of its bridges. Raises InvalidName."""
        return f"{self.bridges()}/{check_name(source, 'the name of a source')}"

    def _shared(self, parent: str, name: str, what: str) -> str:
        if not str(name).startswith("/"):
            return f"{parent}/{check_name(name, what)}"
        for segment in name[1:].split("/"):
            check_name(segment, f"each part of {what}")
        return name

    def jobs(self, election: str) -> str:
        """The record of the jobs that the leaders of an election have begun. Raises InvalidName."""
        return f"{self.root}/jobs/{check_name(election, 'the election name')}"

    def registry(self) -> str:
        """The id of the namespace, which marks what bridges export from it."""
        return f"{self.root}/registry"


def parent_of(path: str) -> str:
    """The path one level up; `/` for the topmost."""
    return path.rpartition("/")[0] or "/"


def name_of(path: str) -> str:
    """The last segment of a path."""
    return path.rpartition("/")[2]
