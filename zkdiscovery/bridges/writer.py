"""Writes the difference between what a source knows and what stands in ZooKeeper.

Guarantees
- It looks at each node right before it writes it, and each write names the version that it saw.
- It touches nothing that does not bear the mark of its source, except for what a dead run has left.
- A removal deregisters: one transaction writes OUT_OF_SERVICE and deletes, so no view takes it for a loss.
- With a guard, ZooKeeper executes each transaction only while the bridge leads.

Threads: the bridge's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from zkdiscovery.bridges.naming import Key, above
from zkdiscovery.core import Core
from zkdiscovery.errors import (
    AccessDenied,
    HoldLost,
    InvalidInstance,
    NodeExists,
    NodeMissing,
    OperationTimeout,
    UndecodableNode,
    ZkDiscoveryError,
)
from zkdiscovery.model import Instance, Status
from zkdiscovery.session import BROKEN, NO_NODE, Create, Delete, Node, SetData, Write, bulk_read, why_unread
from zkdiscovery.znodes import BaseHold, make_container
from zkdiscovery.znodes.transactions import SURPRISES, transact
from zkdiscovery.znodes.writes import writes_to_delete

log = logging.getLogger("zkdiscovery.bridges")

ROUNDS = 5  # looks and acts in one run: parents made, writes of others met
ROUNDS_TOGETHER = 2  # of these, how many use large transactions, which one node that surprises would fail

PERSISTENT = 0


class Standing(NamedTuple):
    """A node that was found, and the instance that it holds."""

    node: Node
    instance: Instance


Desired = Mapping[Key, Instance | None]  # None: it is to go
Refusals = dict[Key, ZkDiscoveryError]
Plan = Callable[[Key, "Standing | None"], Sequence[Write]]


class Writer:
    """Writes for one source.

    Args:
        core: of the client.
        source: name of the source.
    """

    def __init__(self, core: Core, source: str) -> None:
        self._core = core
        self._session = core.session
        self._source = source

    def write(self, desired: Desired, guard: BaseHold | None) -> Refusals:
        """Make what a source has, and delete what it has no more.

        Args:
            desired: what is to be, for what differs.
            guard: the leadership.

        Returns:
            the error for each that is refused; the others are done.

        Raises:
            HoldLost: the leadership is over; nothing was written since.
            NotConnected, OperationTimeout: some may be done.
        """

        def plan(key: Key, standing: Standing | None) -> Sequence[Write]:
            return self._writes(key, desired[key], standing)

        return self._run(desired, plan, guard)

    def delete_dead(self, dead: Mapping[Key, int], guard: BaseHold | None) -> Refusals:
        """Delete registrations whose runs have ended.

        Args:
            dead: what to delete, with the transaction that created it.
            guard: the leadership; None: a bridge of one engine.

        Returns and raises as `write`.
        """

        def deregistration(key: Key, standing: Standing | None) -> Sequence[Write]:
            if standing is None or standing.node.stat.czxid != dead[key]:
                return []
            return self._deregistration(key, standing)

        def deletion(key: Key, standing: Standing | None) -> Sequence[Write]:
            writes = deregistration(key, standing)
            return [] if standing is None or not writes else [Delete(self._path(key), standing.node.stat.version)]

        refused = self._run(dead, deregistration, guard)
        # The right to delete is one of the parent, the right to write one of the node.
        unwritable = [key for key, error in refused.items() if isinstance(error, AccessDenied)]
        if unwritable:
            for key in unwritable:
                del refused[key]
            refused |= self._run(unwritable, deletion, guard)
        return refused

    # -- what to write --

    def _path(self, key: Key) -> str:
        return self._core.paths.instance(*key)

    def _writes(self, key: Key, target: Instance | None, standing: Standing | None) -> Sequence[Write]:
        """Return the writes that lead to a target; none if it is reached."""
        if standing is None:
            if target is None:
                return []
            data = self._core.codec.encode(above(None, target))
            return [Create(self._path(key), data, self._session.leaf_acl, PERSISTENT)]
        if standing.instance.source != self._source:
            raise NodeExists(f"{self._path(key)} is there, and this source has not written it", path=self._path(key))
        if target is None:
            return self._deregistration(key, standing)
        wanted = above(standing.instance, target)
        if wanted == standing.instance:
            return []
        node = standing.node
        return [SetData(self._path(key), self._core.codec.encode(wanted, node.data), node.stat.version)]

    def _deregistration(self, key: Key, standing: Standing) -> Sequence[Write]:
        leaving = standing.instance.own.with_(status=Status.OUT_OF_SERVICE)
        try:
            data = self._core.codec.encode(leaving, standing.node.data)
        except InvalidInstance:  # the deletion must not fail for that
            return [Delete(self._path(key), standing.node.stat.version)]
        return writes_to_delete(self._path(key), standing.node, data)

    # -- looking and acting --

    def _run(self, keys: Iterable[Key], plan: Plan, guard: BaseHold | None) -> Refusals:
        session = self._session
        generation = session.generation
        refused: Refusals = {}
        failed: Refusals = {}
        todo = list(keys)
        for number in range(ROUNDS):
            failed = {}
            writes = self._plan(todo, plan, generation, refused)
            if not writes:
                return refused
            singly = number >= ROUNDS_TOGETHER
            for key, outcome in transact(session, writes, singly=singly, generation=generation, guard=guard):
                if isinstance(outcome, list):
                    continue
                if isinstance(outcome, (*BROKEN, HoldLost)):
                    raise outcome
                (failed if isinstance(outcome, SURPRISES) else refused)[key] = outcome
            self._make_parents([key for key in failed if isinstance(writes[key][-1], Create)], generation, failed)
            todo = list(failed)
            if not todo:
                return refused
        return refused | failed

    def _plan(self, keys: Sequence[Key], plan: Plan, generation: int, refused: Refusals) -> dict[Key, Sequence[Write]]:
        writes: dict[Key, Sequence[Write]] = {}
        deadline = time.monotonic() + self._session.settings.operation_timeout
        by_path = {self._path(key): key for key in keys}
        try:
            read = list(bulk_read(self._session, list(by_path), generation=generation, deadline=deadline))
        except TimeoutError as error:
            raise OperationTimeout(f"read {len(keys)} instances: no answer in time") from error
        for path, found in read:
            key = by_path[path]
            try:
                standing = None
                if isinstance(found, Node):
                    standing = Standing(found, self._core.codec.decode(key.service, key.id, found.data))
                elif found != NO_NODE:
                    raise why_unread(path, found, self._session.server)
                if planned := plan(key, standing):
                    writes[key] = planned
            except (*BROKEN, HoldLost):
                raise
            except (ZkDiscoveryError, UndecodableNode) as error:
                refused[key] = error
        return writes

    def _make_parents(self, keys: Sequence[Key], generation: int, failed: Refusals) -> None:
        """Make the services of these, which are new, or which ZooKeeper reaped while they were empty."""
        deadline = time.monotonic() + self._session.settings.operation_timeout
        services = {key.service for key in keys if isinstance(failed[key], NodeMissing)}
        for service in sorted(services):
            try:
                path = self._core.paths.service(service)
                make_container(self._session, path, generation=generation, deadline=deadline)
            except BROKEN:
                raise
            except ZkDiscoveryError as error:
                log.debug("can't make %r: %s", service, error)
