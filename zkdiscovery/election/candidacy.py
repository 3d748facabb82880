"""One candidacy: one ephemeral node, one place in the queue, at most one term.

Threads: runs on the client's owner worker; `start`, `withdraw` and `wait` are called by any thread.

Guarantees
- Candidates are ordered by the transaction id of their creation. The set ahead of one only shrinks, so it watches its
  predecessor and itself, and is woken when one of them goes: no herd.
- The term begins after a committed transaction has proven that the node stands, and is bound to (session, path,
  transaction id).
- A candidacy that lost its node or its session is over for good; another one has another node.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from zkdiscovery.election.term import Term
from zkdiscovery.errors import NodeMissing, ZkDiscoveryError
from zkdiscovery.session import (
    EventKind,
    GetChildren,
    Lease,
    Node,
    Session,
    State,
    StateChange,
    TreeWatch,
    Worker,
    bulk_read,
)
from zkdiscovery.znodes import OwnedNode, OwnedNodes, OwnedState

log = logging.getLogger("zkdiscovery.election")

RETRY_DELAY = 0.2  # seconds after a refusal on a standing connection


class Queued(NamedTuple):
    """A node in the queue of an election."""

    czxid: int
    path: str
    data: bytes


def read_queue(session: Session, path: str, *, generation: int, deadline: float) -> list[Queued]:
    """The candidates of an election, the leader first.

    Raises:
        NotConnected, OperationTimeout, AccessDenied, …: as `Session.call`.
    """
    try:
        names = session.call(GetChildren(path), deadline=deadline, generation=generation)
    except NodeMissing:
        return []
    nodes = bulk_read(session, [f"{path}/{name}" for name in names], generation=generation, deadline=deadline)
    # A persistent node would lead for ever: nobody campaigns with it.
    return sorted(
        Queued(node.stat.czxid, where, node.data)
        for where, node in nodes
        if isinstance(node, Node) and node.stat.ephemeral_owner
    )


class Candidacy:
    """A place in the queue of one election."""

    def __init__(
        self,
        session: Session,
        nodes: OwnedNodes,
        worker: Worker,
        election: str,
        path: str,
        data: bytes,
        *,
        release_on_suspend: bool,
    ) -> None:
        self.election = election
        self._session = session
        self._worker = worker
        self._parent = path
        self._release_on_suspend = release_on_suspend
        self._changed = threading.Condition()
        self._term: Term | None = None
        self._over = False
        self._withdrawn = False
        self._staying = False
        self._predecessor: TreeWatch | None = None  # the worker's own
        session.listen(self._on_state)
        self._node: OwnedNode = nodes.own(f"{path}/{uuid.uuid4().hex}", data, on_state=self._on_node, restore=False)

    @property
    def term(self) -> Term | None:
        """The term, once it was won; it may be lost meanwhile."""
        return self._term

    @property
    def error(self) -> ZkDiscoveryError | None:
        """Why it does not get on; None if nothing is known to be wrong."""
        return self._node.error

    def wait(self, timeout: float | None, stop: Callable[[], bool]) -> Term | None:
        """Wait for the term; None once `timeout` seconds are over, the candidacy is, or `stop()` says so."""
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._term is None and not self._over and not stop():
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            return self._term

    def wake(self) -> None:
        """Let `wait` ask its `stop` again."""
        with self._changed:
            self._changed.notify_all()

    def withdraw(self, reason: str = "resigned") -> None:
        """End the term and leave the queue. Never blocks; idempotent."""
        with self._changed:
            self._withdrawn = True
            term = self._term
        if term is not None:
            term._lease.end(reason)
        self._node.release()

    def end_term(self, reason: str) -> None:
        """End the term and stay in the queue, so that nobody follows before `withdraw()`. Never blocks."""
        with self._changed:
            self._staying = True
            term = self._term
        if term is not None:
            term._lease.end(reason)

    def wait_gone(self, timeout: float) -> bool:
        """Wait until the node is out of ZooKeeper; False if that is not known within `timeout` seconds."""
        return self._node.wait(lambda node: node._state is OwnedState.RELEASED, timeout)

    # -- who calls --

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._schedule()
        elif change.state is State.SUSPENDED and self._release_on_suspend and self._term is not None:
            self._term._lease.end("the connection to ZooKeeper broke (on_suspend='release')")

    def _on_node(self, node: OwnedNode) -> None:
        if node.state is OwnedState.RELEASED:
            self._finish()
        elif node.state is OwnedState.HELD:
            self._schedule()

    def _on_predecessor(self, kind: EventKind, _path: str) -> None:
        if kind is EventKind.DELETED:
            self._schedule()

    def _schedule(self, delay: float = 0.0) -> None:
        self._worker.schedule((self, "contend"), self._contend, delay)

    # -- the worker --

    def _contend(self) -> None:
        """Find our place; watch who is ahead, or begin the term."""
        session, node = self._session, self._node
        generation = session.generation
        if self._withdrawn or self._over or self._term is not None or session.state is not State.CONNECTED:
            return
        if node.state is not OwnedState.HELD:
            return  # its own news will call again
        deadline = time.monotonic() + session.settings.operation_timeout
        try:
            queue = read_queue(session, self._parent, generation=generation, deadline=deadline)
            ahead = [entry for entry in queue if entry.czxid < node.czxid]
            if ahead:
                self._follow(ahead[-1].path, generation, deadline)
            else:
                self._lead(generation, deadline)
        except (ZkDiscoveryError, TimeoutError) as error:
            log.debug("election %r: %s", self.election, error)
            self._schedule(RETRY_DELAY)

    def _follow(self, predecessor: str, generation: int, deadline: float) -> None:
        session = self._session
        if self._predecessor is None or self._predecessor.path != predecessor:
            self._leave_predecessor()
            self._predecessor = session.watches.add(predecessor, self._on_predecessor)
        self._predecessor.arm(generation=generation, deadline=deadline).result(max(0.0, deadline - time.monotonic()))
        for _, found in bulk_read(session, [predecessor], generation=generation, deadline=deadline):
            if not isinstance(found, Node):  # gone between the list and the watch
                self._schedule()

    def _lead(self, generation: int, deadline: float) -> None:
        node = self._node
        fence = node.czxid
        lease: Lease = self._session.leases.acquire(
            node.path, generation=generation, deadline=deadline, on_lost=self._on_lost
        )
        self._leave_predecessor()
        with self._changed:
            self._term = Term(self.election, fence, lease, lambda _term: self.withdraw())
            withdrawn = self._withdrawn
            self._changed.notify_all()
        if withdrawn:
            lease.end("resigned")
        elif lease.reason is not None:  # lost before there was a term to tell
            self._on_lost(lease.reason)
        else:
            log.info("leading the election %r, fence %d", self.election, fence)

    def _on_lost(self, reason: str) -> None:
        """The lease is over (any thread; must not block): the node goes before a new candidacy begins."""
        term = self._term
        if term is not None:
            term._over.set()
            level = logging.INFO if reason == "resigned" else logging.WARNING
            log.log(level, "the term %d of the election %r is over: %s", term.fence, self.election, reason)
        if not self._staying:
            self._node.release()

    def _finish(self) -> None:
        self._leave_predecessor()
        self._session.unlisten(self._on_state)
        with self._changed:
            self._over = True
            term = self._term
            self._changed.notify_all()
        if term is not None:
            term._lease.end(str(self._node.error) if self._node.error else "resigned")

    def _leave_predecessor(self) -> None:
        watch, self._predecessor = self._predecessor, None
        if watch is not None:
            watch.close()
