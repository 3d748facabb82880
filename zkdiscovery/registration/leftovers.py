"""Entries that a predecessor left: an entry with a default id of the same service, machine, host and port.

A container that is made anew has another host name, and so another default id, while its address may be the same. The
entry of its predecessor, if that was killed, would stay for the session timeout and send its callers to the successor.

One list of names for each service is read, once after a registration was created for the first time; data are read of
names that end as ours does. On the owner's worker alone. An owner that lives, in another network of the same machine,
restores its entry.
"""

from __future__ import annotations

import logging
import time

from zkdiscovery.core import Core
from zkdiscovery.errors import NodeChanged, NodeMissing, UndecodableNode, ZkDiscoveryError
from zkdiscovery.model import Instance
from zkdiscovery.registration.machine import is_of_this_machine
from zkdiscovery.session import (
    BROKEN,
    Delete,
    GetChildren,
    Node,
    bulk_read,
)

log = logging.getLogger("zkdiscovery.registration")

RETRY = 1.0  # seconds


class Leftovers:
    """Removes what stands beside the instances that were registered with a default id."""

    def __init__(self, core: Core) -> None:
        self._session = core.session
        self._worker = core.worker
        self._paths = core.paths
        self._codec = core.codec
        self._due: dict[str, dict[str, Instance]] = {}  # by service and id

    def remove_beside(self, instance: Instance) -> None:
        """Remove in a moment what its predecessors left (worker)."""
        self._due.setdefault(instance.service, {})[instance.id] = instance
        self._worker.schedule(self, self._run)

    def _run(self) -> None:
        for service, instances in list(self._due.items()):
            try:
                self._remove(service, instances)
            except BROKEN as error:
                log.debug("looking for leftovers of %r failed, trying again: %s", service, error)
                if not self._session.gone_for_good:
                    self._worker.schedule(self, self._run, RETRY)
                return
            except ZkDiscoveryError as error:  # refused: nobody is harmed for longer than the session timeout
                log.debug("looking for leftovers of %r failed: %s", service, error)
            del self._due[service]

    def _remove(self, service: str, instances: dict[str, Instance]) -> None:
        session = self._session
        generation, deadline = session.generation, time.monotonic() + session.settings.operation_timeout
        parent = self._paths.service(service)
        names = session.call(GetChildren(parent), deadline=deadline, generation=generation)
        by_end = {name.partition("@")[2]: name for name in instances}
        beside = [name for name in names if name not in instances and name.partition("@")[2] in by_end]
        if not beside:
            return
        read = bulk_read(
            session,
            [self._paths.instance(service, name) for name in (*instances, *beside)],
            generation=generation,
            deadline=deadline,
        )
        found = {path.rpartition("/")[2]: node for path, node in read if isinstance(node, Node)}
        for name in beside:
            ours = by_end[name.partition("@")[2]]
            if ours in found and name in found and self._is_leftover(found[name], name, found[ours], instances[ours]):
                log.info("removing %r of %r, which an earlier process of this machine left", name, service)
                try:
                    request = Delete(self._paths.instance(service, name), found[name].stat.version)
                    session.call(request, deadline=deadline, generation=generation)
                except (NodeMissing, NodeChanged):
                    continue  # gone, or it lives

    def _is_leftover(self, node: Node, name: str, ours: Node, instance: Instance) -> bool:
        try:
            found = self._codec.decode(instance.service, name, node.data)
        except UndecodableNode:
            return False
        return (
            is_of_this_machine(found)
            and (found.host, found.port) == (instance.host, instance.port)
            and node.stat.czxid < ours.stat.czxid
            and node.stat.ephemeral_owner != ours.stat.ephemeral_owner
        )
