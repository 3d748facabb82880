"""Nodes that exist exactly while they are wanted: ephemerals that come back after every outage, or say why they can't.

Each OwnedNode is a wish (wanted, data); OwnedNodes makes ZooKeeper agree with all of them. One worker thread looks
and acts, node by node, and is called again on each event, connection and failure; whatever outcome is unknown is
looked at before it is tried again.

Guarantees
- On a new epoch each node is created again, independently of the others; many at once go in one transaction, and
  singly if that fails.
- NodeExists with our own session as owner is ours (the answer to a create was lost).
- On the first creation a foreign owner is replaced, waited for or refused. On a re-creation only a node of one of our
  own earlier sessions is replaced; any other owner means CONFLICT, final until `reclaim()`: two live processes never
  fight over a path.
- A node that somebody deleted is restored; the data wanted last is the data restored.
- Release while a creation is under way ends with no node; a successor's node is never deleted.
- A reconnect within the session reads the node once and writes nothing.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Literal

from zkdiscovery.errors import (
    NodeChanged,
    NodeExists,
    NodeMissing,
    NotConnected,
    OperationTimeout,
    RegistrationConflict,
    SessionExpired,
    ZkDiscoveryError,
)
from zkdiscovery.session import (
    EPHEMERAL,
    NO_NODE,
    Create,
    Delete,
    EventKind,
    GetData,
    Multi,
    Node,
    Session,
    SetData,
    Stat,
    State,
    StateChange,
    Sync,
    Worker,
    Write,
    bulk_read,
    error_for_code,
)
from zkdiscovery.znodes.parents import make_container
from zkdiscovery.znodes.paths import parent_of

log = logging.getLogger("zkdiscovery.znodes")

OnConflict = Literal["replace", "wait", "refuse"]

BATCH = 500  # creations in one transaction
BATCH_BYTES = 512 * 1024  # bytes of data in one transaction; the server refuses requests over 1 MiB
TRIES = 4  # creations of one node in one run: parents made, successors met
BACKOFF = (0.1, 10.0)  # seconds: first and longest delay after a refusal


class OwnedState(StrEnum):
    """Where an owned node stands."""

    PENDING = "PENDING"  # wanted, and not known to be in ZooKeeper
    HELD = "HELD"  # in ZooKeeper, ours
    WAITING = "WAITING"  # another owner has the path; ours follows when it is gone
    CONFLICT = "CONFLICT"  # another owner has the path; final until reclaim()
    RELEASED = "RELEASED"  # not wanted, and not in ZooKeeper


class OwnedNode:
    """One ephemeral and the wish behind it.

    Args:
        path: where.
        data: what it shall hold.
        on_conflict: what to do about a foreign owner at the first creation.
        on_state: called after each change of `state` or `error`, on the worker thread, outside locks; must not block.
        on_foreign_write: called with what somebody else wrote into the node, on the worker; may `write`. What is
            wanted then stands.
        restore: False: a node that was deleted from outside is not restored but RELEASED (candidates in elections).
    """

    def __init__(
        self,
        owner: OwnedNodes,
        path: str,
        data: bytes,
        *,
        on_conflict: OnConflict = "replace",
        on_state: Callable[[OwnedNode], None],
        on_foreign_write: Callable[[bytes], None] | None = None,
        restore: bool = True,
    ) -> None:
        self.path = path
        self.on_conflict: OnConflict = on_conflict
        self.on_state = on_state
        self.on_foreign_write = on_foreign_write
        self.restore = restore
        self._owner = owner
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._data = data
        self._wanted = True
        self._farewell: bytes | None = None
        self._state = OwnedState.PENDING
        self._error: ZkDiscoveryError | None = None
        # The worker's own:
        self._watch: Any = None
        self._watched = 0  # generation of the connection that has the watch
        self._seen = 0  # generation of the connection on which the node was looked at last
        self._stat: Stat | None = None  # as we know it in the present session
        self._written: bytes | None = None
        self._first = True
        self._failures = 0
        self._dirty = False  # something happened to it since it was looked at
        self._uncertain = False  # a request of ours may have been executed

    @property
    def state(self) -> OwnedState:
        """Where it stands."""
        return self._state

    @property
    def error(self) -> ZkDiscoveryError | None:
        """Why it is not where it should be; None if nothing is wrong."""
        return self._error

    @property
    def czxid(self) -> int:
        """Transaction id of its creation; 0 while it is not held."""
        stat = self._stat
        return stat.czxid if stat is not None else 0

    @property
    def settled(self) -> bool:
        """True if what was wanted last stands in ZooKeeper."""
        with self._lock:
            if not self._wanted:
                return self._state is OwnedState.RELEASED
            return self._state is OwnedState.HELD and self._written == self._data

    def write(self, data: bytes) -> None:
        """Want other data. Never blocks."""
        with self._lock:
            self._data = data
        self._owner._due(self)

    def release(self, farewell: bytes | None = None) -> None:
        """Want it gone. Never blocks; see `wait`.

        `farewell` is written in the transaction that deletes it: others see CHANGED, then DELETED.
        """
        with self._lock:
            self._wanted = False
            self._farewell = farewell
        self._owner._due(self)

    def reclaim(self) -> None:
        """Want it again after a CONFLICT, replacing whoever owns it. Never blocks."""
        with self._lock:
            self._wanted = True
            self._first = True
            self.on_conflict = "replace"
            self._state = OwnedState.PENDING
            self._error = None
        self._owner._due(self)

    def wait(self, condition: Callable[[OwnedNode], bool], timeout: float) -> bool:
        """Wait until `condition(node)`, which must be quick and not lock, holds after a change; False if time is up."""
        end = time.monotonic() + timeout
        with self._changed:
            while not condition(self):
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def _settled_locked(self) -> bool:
        if not self._wanted:
            return self._state is OwnedState.RELEASED
        return self._state is OwnedState.HELD and self._written == self._data

    def __repr__(self) -> str:
        return f"<OwnedNode {self.path} {self._state}>"


class OwnedNodes:
    """All owned nodes of one session, and the worker that keeps them."""

    def __init__(self, session: Session, worker: Worker) -> None:
        self._session = session
        self._worker = worker
        self._lock = threading.Lock()
        self._nodes: set[OwnedNode] = set()
        self._queue: dict[OwnedNode, None] = {}
        self._sessions: set[int] = set()  # ids of our sessions so far
        session.listen(self._on_state)

    def own(self, path: str, data: bytes, **options: Any) -> OwnedNode:
        """Want a node from now on. Never blocks. For `options` see OwnedNode."""
        return self.own_many([(path, data, options)])[0]

    def own_many(self, wishes: Iterable[tuple[str, bytes, dict[str, Any]]]) -> list[OwnedNode]:
        """Want many nodes; they are created in as few transactions as fit."""
        nodes = [OwnedNode(self, path, data, **options) for path, data, options in wishes]
        for node in nodes:
            node._watch = self._session.watches.add(node.path, partial(self._on_event, node))
        with self._lock:
            self._nodes.update(nodes)
        self._due(*nodes)
        return nodes

    def holding(self) -> bool:
        """True if anything of ours may be in ZooKeeper."""
        with self._lock:
            return any(node._stat is not None for node in self._nodes)

    # -- who calls --

    def _due(self, *nodes: OwnedNode, delay: float = 0.0) -> None:
        if delay:
            for node in nodes:
                self._worker.schedule((self, node), partial(self._due, node), delay)
            return
        with self._lock:
            for node in nodes:
                self._queue[node] = None
        self._worker.schedule(self, self._run)

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            with self._lock:
                nodes = list(self._nodes)
            if nodes:
                self._due(*nodes)

    def _on_event(self, node: OwnedNode, _kind: EventKind, path: str) -> None:
        if path == node.path:
            node._dirty = True
            self._due(node)

    # -- the worker --

    def _run(self) -> None:
        session = self._session
        generation = session.generation
        connected = session.state is State.CONNECTED
        with self._lock:
            # Released ones still have events of their own end.
            due = [node for node in self._queue if node in self._nodes]
            self._queue.clear()
        for node in [node for node in due if not node._wanted and self._surely_absent(node)]:
            due.remove(node)
            self._finish(node, None)
        if not connected:
            return  # every node is due again on the next connection
        self._sessions.add(session.session_id)
        limit = time.monotonic() + session.settings.operation_timeout
        try:
            self._arm(due, generation, limit)
            self._look(due, generation, limit)
        except (ZkDiscoveryError, TimeoutError) as error:
            log.debug("looking at %d owned nodes failed: %s", len(due), error)
            self._again(due)
            return
        self._create_many([node for node in due if self._fresh(node)], generation)
        for node in due:
            self._settle(node, generation)

    def _surely_absent(self, node: OwnedNode) -> bool:
        """Nothing of it can be in ZooKeeper: it was never watched, so never created, or its session is over."""
        return node._watched == 0 or self._session.state is State.EXPIRED

    def _arm(self, nodes: Sequence[OwnedNode], generation: int, deadline: float) -> None:
        """Watch each node on this connection before anything is read or written."""
        armed = [
            (node, node._watch.arm(generation=generation, deadline=deadline))
            for node in nodes
            if node._watched != generation and node._wanted
        ]
        for node, future in armed:
            future.result(max(0.0, deadline - time.monotonic()))
            node._watched = generation

    def _look(self, nodes: Sequence[OwnedNode], generation: int, deadline: float) -> None:
        """Compare what we believe to hold with ZooKeeper, in one bulk read."""
        session = self._session
        looked = {}
        for node in nodes:
            if node._stat is not None and node._stat.ephemeral_owner != session.session_id:
                if node.restore:
                    self._forget(node)  # of an earlier session: gone, or a leftover that creation will meet
                else:
                    self._finish(node, "lost with its session")
            if node._stat is not None and (node._dirty or node._seen != generation):
                looked[node.path] = node
                node._dirty = False
        for path, found in bulk_read(session, list(looked), generation=generation, deadline=deadline):
            self._compare(looked[path], found)
            looked[path]._seen = generation

    def _compare(self, node: OwnedNode, found: Node | int) -> None:
        known = node._stat
        if known is None:
            return
        if isinstance(found, int) and found != NO_NODE:
            self._report(node, error_for_code(found, GetData(node.path), self._session.server))
        elif isinstance(found, int) or found.stat.czxid != known.czxid:
            foreign = isinstance(found, Node) and found.stat.ephemeral_owner != self._session.session_id
            self._forget(node)
            node._first = False
            if not node.restore:
                self._finish(node, "deleted from outside")
            elif node._wanted:
                log.warning("%s was %s from outside", node.path, "replaced" if foreign else "deleted")
        elif found.stat.version != known.version:
            node._stat = found.stat
            if found.data != node._written:
                node._written = found.data
                self._adopt(node, found.data)

    def _adopt(self, node: OwnedNode, data: bytes) -> None:
        """Somebody wrote into our node: the owner decides what shall stand, and `write`s it."""
        if node.on_foreign_write is None:
            return
        try:
            node.on_foreign_write(data)
        except Exception:
            log.exception("what another client wrote into %s can't be adopted; writing our own again", node.path)

    def _fresh(self, node: OwnedNode) -> bool:
        return node._wanted and node._stat is None and node.state in {OwnedState.PENDING, OwnedState.HELD}

    def _create_many(self, nodes: list[OwnedNode], generation: int) -> None:
        """Optimistic creation of many in one transaction; whatever fails is done singly afterwards."""
        batch: list[OwnedNode] = []
        size = 0
        for node in nodes:
            length = len(node._data) + len(node.path) + 64
            if batch and (len(batch) >= BATCH or size + length > BATCH_BYTES):
                self._create_batch(batch, generation)
                batch, size = [], 0
            batch.append(node)
            size += length
        if len(batch) > 1:
            self._create_batch(batch, generation)

    def _create_batch(self, nodes: list[OwnedNode], generation: int) -> None:
        session = self._session
        deadline = time.monotonic() + session.settings.operation_timeout
        request = Multi([Create(node.path, node._data, session.leaf_acl, EPHEMERAL) for node in nodes])
        try:
            try:
                session.call(request, deadline=deadline, generation=generation)
            except NodeMissing:
                for parent in {parent_of(node.path) for node in nodes}:
                    make_container(session, parent, generation=generation, deadline=deadline)
                session.call(request, deadline=deadline, generation=generation)
            self._take_created(nodes, generation, deadline)
        except ZkDiscoveryError as error:
            log.debug("creating %d nodes at once failed, creating them singly: %s", len(nodes), error)
            for node in nodes:
                node._uncertain = node._uncertain or error.outcome_unknown

    def _take_created(self, nodes: Sequence[OwnedNode], generation: int, deadline: float) -> None:
        """Read what a transaction created: its answer has no stats."""
        by_path = {node.path: node for node in nodes}
        for path, found in bulk_read(self._session, list(by_path), generation=generation, deadline=deadline):
            if isinstance(found, Node) and found.stat.ephemeral_owner == self._session.session_id:
                self._hold(by_path[path], found.stat, found.data, generation)

    def _settle(self, node: OwnedNode, generation: int) -> None:
        """Make one node as it is wanted."""
        try:
            if not node._wanted:
                self._remove(node, generation)
            elif node._stat is None:
                if node.state in {OwnedState.CONFLICT, OwnedState.RELEASED}:
                    return
                self._create(node, generation)
            if node._wanted and node._stat is not None:
                self._update(node, generation)
        except (NotConnected, SessionExpired, OperationTimeout) as error:
            node._dirty = True  # look before the next try
            node._uncertain = node._uncertain or error.outcome_unknown
            log.debug("%s: %s", node.path, error)
            self._again([node])
        except ZkDiscoveryError as error:
            self._report(node, error)
            node._failures += 1
            self._again([node])
        else:
            node._failures = 0

    def _create(self, node: OwnedNode, generation: int) -> None:
        session = self._session
        deadline = time.monotonic() + session.settings.operation_timeout
        for _ in range(TRIES):
            data = node._data
            create = Create(node.path, data, session.leaf_acl, EPHEMERAL)
            try:
                stat = session.call(create, deadline=deadline, generation=generation)
            except NodeMissing:  # never made, or reaped while it was empty
                make_container(session, parent_of(node.path), generation=generation, deadline=deadline)
                continue
            except NodeExists:
                if self._meet(node, create, generation, deadline):
                    return
                continue
            self._hold(node, stat, data, generation)
            return
        raise OperationTimeout(
            f"creating {node.path} failed {TRIES} times: others delete or create it at the same time", path=node.path
        )

    def _meet(self, node: OwnedNode, create: Create, generation: int, deadline: float) -> bool:
        """Something stands on our path. True if nothing more is to be done now."""
        session = self._session
        try:
            found: Node = session.call(GetData(node.path), deadline=deadline, generation=generation)
        except NodeMissing:
            return False
        owner = found.stat.ephemeral_owner
        if owner == session.session_id:  # our own: the answer to a create was lost
            self._hold(node, found.stat, found.data, generation)
            return True
        if owner not in self._sessions and not (node._first and node.on_conflict == "replace"):
            who = f"session 0x{owner:x}" if owner else "a persistent node"
            if node._first and node.on_conflict == "wait":
                self._move(node, OwnedState.WAITING, None)
                return True
            conflict = RegistrationConflict(
                f"{node.path} belongs to another owner ({who}); stop one of the two, or take it with reclaim()",
                path=node.path,
            )
            self._move(node, OwnedState.CONFLICT, conflict)
            log.error("%s", conflict)
            return True
        if found.stat.num_children:
            raise NodeExists(f"{node.path} has children and can't be replaced by an instance", path=node.path)
        try:
            # The version is no proof of the incarnation, but narrows the race with another replacer.
            session.call(
                Multi([Delete(node.path, found.stat.version), create]), deadline=deadline, generation=generation
            )
        except (NodeMissing, NodeChanged):
            return False
        log.info("replaced the leftover of session 0x%x at %s", owner, node.path)
        self._take_created([node], generation, deadline)
        return node._stat is not None

    def _update(self, node: OwnedNode, generation: int) -> None:
        session = self._session
        deadline = time.monotonic() + session.settings.operation_timeout
        for _ in range(TRIES):
            data, known = node._data, node._stat
            if known is None or data == node._written:
                return
            try:
                stat = session.call(SetData(node.path, data, known.version), deadline=deadline, generation=generation)
            except NodeChanged:
                for _, found in bulk_read(session, [node.path], generation=generation, deadline=deadline):
                    self._compare(node, found)
                continue
            except NodeMissing:
                self._forget(node)
                self._again([node])
                return
            node._stat = stat
            with node._changed:
                node._written = data
                node._changed.notify_all()
            node.on_state(node)

    def _remove(self, node: OwnedNode, generation: int) -> None:
        """Delete the node if it is ours."""
        session = self._session
        deadline = time.monotonic() + session.settings.operation_timeout
        if node._uncertain:
            session.call(Sync(node.path), deadline=deadline, generation=generation)
        # A delete with version 0 could hit a successor's fresh node: look whose it is. A later version is ours alone.
        version = node._stat.version if node._stat is not None and not node._uncertain else 0
        for _ in range(TRIES):
            try:
                if version == 0:
                    found: Node = session.call(GetData(node.path), deadline=deadline, generation=generation)
                    if found.stat.ephemeral_owner != session.session_id:
                        break
                    version = found.stat.version
                last: list[Write] = [Delete(node.path, version)]
                if node._farewell is not None and node._farewell != node._written:
                    last = [SetData(node.path, node._farewell, version), Delete(node.path, version + 1)]
                session.call(Multi(last), deadline=deadline, generation=generation)
            except NodeMissing:
                break
            except NodeChanged:
                version = 0
                continue
            break
        else:
            raise OperationTimeout(
                f"deleting {node.path} failed {TRIES} times: others write it at the same time", path=node.path
            )
        self._finish(node, None)

    # -- changes of one node --

    def _hold(self, node: OwnedNode, stat: Stat, data: bytes, generation: int) -> None:
        node._stat = stat
        node._first = False
        node._seen = generation
        node._uncertain = False
        with node._lock:
            node._written = data
        self._move(node, OwnedState.HELD, None)

    def _forget(self, node: OwnedNode) -> None:
        node._stat = None
        with node._lock:
            node._written = None
        if node._wanted and node.restore:
            self._move(node, OwnedState.PENDING, None)

    def _finish(self, node: OwnedNode, reason: str | None) -> None:
        with self._lock:
            self._nodes.discard(node)
        node._stat = None
        node._watch.close()
        error = NodeMissing(f"{node.path} was {reason}", path=node.path) if reason else None
        self._move(node, OwnedState.RELEASED, error)

    def _report(self, node: OwnedNode, error: ZkDiscoveryError) -> None:
        if node._failures == 0:
            log.warning("%s can't be kept as wanted, trying again: %s", node.path, error)
        self._move(node, node.state, error)

    def _move(self, node: OwnedNode, state: OwnedState, error: ZkDiscoveryError | None) -> None:
        with node._changed:
            if node._state is state and node._error is error:
                return
            node._state = state
            node._error = error
            node._changed.notify_all()
        node.on_state(node)

    def _again(self, nodes: Sequence[OwnedNode]) -> None:
        if self._session.state is not State.CONNECTED:
            return
        for node in nodes:
            first, longest = BACKOFF
            delay = min(longest, first * 2.0 ** min(node._failures, 10)) * random.uniform(0.75, 1.25)
            self._due(node, delay=delay)
