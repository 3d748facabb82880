"""One candidacy: one ephemeral node, one place in the queue, at most one term. See queue.py for the card beside it.

Threads: runs on the client's owner worker; the public methods are called by any thread.

Guarantees
- Candidates are ordered by the transaction id of their creation. The set ahead of one only shrinks, so it watches its
  predecessor and itself, and is woken when one of them goes: no herd. When the only one ahead goes, it leads without
  a look at the queue: the proof that its own node stands is sent by the thread that hears of it.
- The term begins after a committed transaction has proven that the node stands, and is bound to (session, path,
  transaction id).
- A candidacy that lost its node, its session or its lease is over for good, and its node is deleted.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Self

from zkdiscovery.election.queue import CARD, place_acl, read_queue
from zkdiscovery.election.term import Term
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session import (
    NO_NODE,
    EventKind,
    Node,
    Proof,
    Session,
    State,
    StateChange,
    TreeWatch,
    Unproven,
    bulk_read,
)
from zkdiscovery.threads import Worker
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import OwnedNode, OwnedNodes, OwnedState

log = logging.getLogger("zkdiscovery.election")

RETRY_DELAY = 0.2  # seconds after a refusal on a standing connection
LOOK_AGAIN = 1.0  # seconds after which one that we may not read is looked at: many servers tell us nothing of its end


class Candidacy:
    """A place in the queue of one election."""

    def __init__(
        self, session: Session, nodes: OwnedNodes, worker: Worker, election: str, path: str, data: bytes, *, hold: bool
    ) -> None:
        self.election = election
        self._session = session
        self._worker = worker
        self._parent = path
        self._hold = hold
        self._changed = threading.Condition()
        self._term: Term | None = None
        self._ending: str | None = None  # why we end it ourselves
        self._over = False
        self._error: ZkDiscoveryError | None = None
        self._predecessor: TreeWatch | None = None  # the worker's own
        self._last_ahead: str | None = None  # whom we follow, if nobody else is ahead (written by the worker)
        self._first = False  # nobody is ahead any more
        self._proof: Proof | None = None  # on its way, or here
        worker.start()  # before anything listens
        with self._changed:  # the worker, which may be faster than this thread, waits for it
            session.listen(self._on_state)
            where, public = f"{path}/{uuid.uuid4().hex}", place_acl(session.leaf_acl)
            # The card first: whoever sees the place finds it.
            self._card: OwnedNode | None = None
            if public is not None:
                self._card = nodes.own(f"{where}{CARD}", data, on_state=_ignore, restore=False)
                data = b""
            self._node: OwnedNode = nodes.own(where, data, on_state=self._on_node, restore=False, acl=public)

    @property
    def term(self) -> Term | None:
        """The term, once it was won; it may be lost meanwhile."""
        return self._term

    @property
    def over(self) -> bool:
        """True once the node is out of ZooKeeper for good."""
        return self._over

    @property
    def error(self) -> ZkDiscoveryError | None:
        """Why it does not get on; None if nothing is known to be wrong."""
        return self._node.error or self._error

    def wait(self, condition: Callable[[Self], object], end: float | None) -> None:
        """Wait until `condition(candidacy)`, which must be quick and take no lock, or until `end` (monotonic seconds).

        It is asked again after each change of the candidacy or the session, and after `wake()`.
        """
        with self._changed:
            self._changed.wait_for(lambda: condition(self), None if end is None else max(0.0, end - time.monotonic()))

    def wait_gone(self, timeout: float) -> None:
        """In contact with ZooKeeper, wait until the node is out of it; without, there is nothing to wait for."""
        self.wait(lambda it: it._over or it._session.state is not State.CONNECTED, deadline_after(timeout))

    def wake(self) -> None:
        """Let `wait` ask again."""
        with self._changed:
            self._changed.notify_all()

    def end_term(self, reason: str) -> None:
        """End the term and stay in the queue, so that nobody follows before `withdraw()`. Never blocks."""
        with self._changed:
            self._ending = self._ending or reason
            term = self._term
            self._changed.notify_all()
        if term is not None:
            term._lease.end(reason)

    def withdraw(self, reason: str = "resigned") -> None:
        """End the term and leave the queue. Never blocks; idempotent."""
        self.end_term(reason)
        self._release()

    def forked(self) -> None:
        """In a forked child: the term is the parent's."""
        if self._term is not None:
            self._term._disown()

    # -- who calls --

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._schedule()
        self.wake()

    def _on_node(self, node: OwnedNode) -> None:
        if node.state is OwnedState.RELEASED:
            self._finish()
        elif node.state is OwnedState.HELD:
            self._schedule()

    def _on_predecessor(self, kind: EventKind, path: str) -> None:
        if kind is EventKind.DELETED:
            if path == self._last_ahead:
                self._first = True
                self._proof = self._prove(self._session.generation)
            self._schedule()

    def _prove(self, generation: int) -> Proof:
        return self._session.leases.prove(self._node.path, generation=generation)

    def _schedule(self, delay: float = 0.0) -> None:
        self._worker.schedule((self, "contend"), self._contend, delay)

    # -- the worker --

    def _contend(self) -> None:
        """Find our place; watch who is ahead, or begin the term."""
        session = self._session
        generation = session.generation
        with self._changed:
            node = self._node
            if self._ending is not None or self._over or self._term is not None:
                return
        if node.state is not OwnedState.HELD or session.state is not State.CONNECTED:
            return  # the news of either will call again
        deadline = time.monotonic() + session.settings.operation_timeout
        session.leases.expect(self)
        if self.over:  # meanwhile
            session.leases.dismiss(self)
            return
        try:
            if self._first:
                self._lead(generation, deadline)
            else:
                self._find_place(generation, deadline)
        except (ZkDiscoveryError, TimeoutError) as error:
            log.debug("election %r: %s", self.election, error)
            self._error = error if isinstance(error, ZkDiscoveryError) else None
            self._schedule(error.delay if isinstance(error, Unproven) else RETRY_DELAY)
        else:
            self._error = None

    def _find_place(self, generation: int, deadline: float) -> None:
        queue = read_queue(self._session, self._parent, generation=generation, deadline=deadline)
        paths = [entry.path for entry in queue]
        if self._node.path not in paths:
            return  # deleted from outside: its news will call
        if place := paths.index(self._node.path):
            self._follow(paths[:place], generation, deadline)
        else:
            self._lead(generation, deadline)

    def _follow(self, ahead: list[str], generation: int, deadline: float) -> None:
        session, predecessor = self._session, ahead[-1]
        # Before the watch, which may tell of its end at once.
        self._last_ahead = predecessor if len(ahead) == 1 else None
        if self._last_ahead is None:  # our turn is not next
            session.leases.dismiss(self)
        if self._predecessor is None or self._predecessor.path != predecessor:
            self._leave_predecessor()
            self._predecessor = session.watches.add(predecessor, self._on_predecessor)
        self._predecessor.arm(generation=generation, deadline=deadline).result(max(0.0, deadline - time.monotonic()))
        for _, found in bulk_read(session, [predecessor], generation=generation, deadline=deadline):
            if found == NO_NODE:  # gone between the list and the watch
                self._schedule()
            elif not isinstance(found, Node):
                self._schedule(LOOK_AGAIN)

    def _lead(self, generation: int, deadline: float) -> None:
        fence = self._node.czxid
        proof, self._proof = self._proof, None
        if proof is None or proof.generation != generation or proof.deadline <= time.monotonic():
            proof = self._prove(generation)
        lease = self._session.leases.acquire(
            proof, deadline=deadline, hold=self._hold, on_lost=lambda reason: self._on_lost(fence, reason)
        )
        with self._changed:
            self._term = Term(self.election, fence, lease, self.withdraw)
            ending = self._ending
            self._changed.notify_all()
        self._session.leases.dismiss(self)
        self._leave_predecessor()
        if ending is not None:  # it came while the lease began
            lease.end(ending)
        else:
            log.info("leading the election %r, fence %d", self.election, fence)

    def _on_lost(self, fence: int, reason: str) -> None:
        """The lease is over (any thread; must not block)."""
        ours = self._ending is not None
        log.log(
            logging.INFO if ours else logging.WARNING,
            "the term %d of the election %r is over: %s", fence, self.election, reason,
        )  # fmt: skip
        if not ours:
            self._release()  # before a new candidacy begins

    def _release(self) -> None:
        self._node.release()
        if self._card is not None:
            self._card.release()

    def _finish(self) -> None:
        self._leave_predecessor()
        self._session.unlisten(self._on_state)
        with self._changed:
            self._over = True
            term = self._term
            self._changed.notify_all()
        self._release()  # the card of a place that was deleted from outside
        self._session.leases.dismiss(self)  # after it is over: `_contend` looks at that after it has expected
        if term is not None:
            term._lease.end(str(self._node.error or "its node is gone"))

    def _leave_predecessor(self) -> None:
        watch, self._predecessor = self._predecessor, None
        if watch is not None:
            watch.close()


def _ignore(_node: OwnedNode) -> None:
    """A card counts only beside a place that stands."""
