"""ZooKeeper as it is, for the checker: read past all proxies."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from tests.faults.chaos.sharding import ASSIGNER, MEMBERS, SHARDS
from tests.faults.chaos.watching import brief
from tests.support import Truth
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.errors import NodeMissing, UndecodableNode, ZkDiscoveryError
from zkdiscovery.session import GetChildren, Node, ReadLimits, Sync, bulk_read, pipelined
from zkdiscovery.znodes import Paths

LIMIT = 5.0  # seconds for one look


class Observatory:
    """Reads all services, elections, queues of locks and shards, over a session of its own.

    Raises:
        ZkDiscoveryError: from each method, where ZooKeeper does not answer in time.
    """

    def __init__(
        self, truth: Truth, namespace: str, services: list[str], elections: list[str], queues: Sequence[str]
    ) -> None:
        self._truth = truth
        self.paths = Paths(namespace)
        self._services, self._elections, self._queues = services, elections, queues
        self._codec = CuratorCodec()

    def look(self) -> dict[str, Any]:
        """All that the checker compares: instances with their owners, candidates in their order, places in queues."""
        places = self.places(*self._queues, *SHARDS, MEMBERS, ASSIGNER)
        return {
            "services": {name: self._service(name) for name in self._services},
            "elections": {name: self.candidates(name) for name in self._elections},
            "queues": {name: [place["path"] for place in places[name]] for name in self._queues},
            "shards": {name: places[name] for name in SHARDS},
            "sharers": {name: places[name] for name in (MEMBERS, ASSIGNER)},
        }

    def places(self, *queues: str) -> dict[str, list[dict[str, Any]]]:
        """The places in queues of locks or shards, in the order of their creation; a queue is below the namespace."""
        parents = {f"{self.paths.root}/{queue}": queue for queue in queues}
        found: dict[str, list[dict[str, Any]]] = {queue: [] for queue in queues}
        for path, node in self._children(parents):
            place = {"fence": node.stat.czxid, "owner": node.stat.ephemeral_owner, "path": path}
            found[parents[path.rpartition("/")[0]]].append(place)
        return {queue: sorted(places, key=lambda place: place["fence"]) for queue, places in found.items()}

    def candidates(self, election: str) -> list[dict[str, Any]]:
        """The candidates of an election, the first one leads."""
        found = [
            {"fence": node.stat.czxid, "owner": node.stat.ephemeral_owner, "data": node.data.decode(), "path": path}
            for path, node in self.nodes(self.paths.election(election))
        ]
        return sorted(found, key=lambda candidate: candidate["fence"])

    def nodes(self, parent: str) -> list[tuple[str, Node]]:
        """The children of a node with their data; none if it is missing."""
        return self._children([parent])

    def _children(self, parents: Iterable[str]) -> list[tuple[str, Node]]:
        session = self._truth.session
        deadline = time.monotonic() + LIMIT
        session.wait_connected(LIMIT)
        generation = session.generation
        session.call(Sync(self.paths.root), deadline=deadline)
        paths: list[str] = []
        for request, names in pipelined(session, [*map(GetChildren, parents)], ReadLimits(generation, deadline)):
            if isinstance(names, ZkDiscoveryError) and not isinstance(names, NodeMissing):
                raise names
            if not isinstance(names, NodeMissing):
                paths += [f"{request.path}/{name}" for name in names]
        found = bulk_read(session, paths, generation=generation, deadline=deadline)
        return [(path, node) for path, node in found if isinstance(node, Node)]

    def _service(self, name: str) -> dict[str, Any]:
        instances = {}
        for path, node in self.nodes(self.paths.service(name)):
            instance_id = path.rpartition("/")[2]
            try:
                seen = brief(self._codec.decode(name, instance_id, node.data))
            except UndecodableNode:
                seen = None
            instances[instance_id] = {"owner": node.stat.ephemeral_owner, "instance": seen}
        return instances
