"""A place in a queue of ephemerals: one owned node, and at most one hold, which begins when nobody is ahead.

Threads: the worker of the owned nodes runs it; any thread may call the public methods.

Guarantees
- The set ahead of a place only shrinks. So a place watches its predecessor and its own node, and is woken when one of
  them goes: no herd.
- Without contention, from joining to holding takes three round trips: the creation of the node; the list of the queue,
  the look at the node and the `sync` that the lease needs, all sent together; the proof.
- It reads the queue when it joins, when it reconnects, and when its predecessor goes. If nobody else was ahead, the
  hold begins without a look at the queue: the thread that hears of the predecessor's end sends the proof that our own
  node exists.
- The hold begins after a committed transaction has proven that the node exists, and is bound to (session, path,
  transaction id).
- A place that lost its node, its session or its lease is over for good, and its node is deleted.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Self, TypeVar

from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session import (
    NO_NODE,
    AccessEntry,
    EventKind,
    Lease,
    Node,
    Proof,
    Session,
    State,
    StateChange,
    TreeWatch,
    Unproven,
    bulk_read,
)
from zkdiscovery.threads import Monitor, Steps, Until, Worker, run_steps
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes.hold import BaseHold
from zkdiscovery.znodes.owned import Numbered, OwnedNode, OwnedState
from zkdiscovery.znodes.owned_nodes import OwnedNodes

H = TypeVar("H", bound=BaseHold)

log = logging.getLogger("zkdiscovery.znodes")

RETRY_DELAY = 0.2  # seconds after a refusal on a standing connection
LOOK_AGAIN = (
    1.0  # seconds until a predecessor that we may not read is read again: many servers send no event of its end
)


class QueuePlace(ABC, Generic[H]):
    """A place in one queue. A subclass sets its attributes first: the place is taken by the constructor.

    Args:
        session: the session that holds it.
        nodes: the owned nodes of that session.
        worker: the thread of those.
        path: the node of the place; no other node must ever have that path. With `numbered`: the beginning of it.
        data: what the node holds.
        acl: who may do what with the node; None: as the settings say of leaves.
        hold: False: a broken connection ends the hold at once.
        numbered: creates the node if ZooKeeper adds a number to its name.
        on_foreign_write: called with what somebody else wrote into the node, before the place writes its own data again
            (worker).

    Attributes:
        node: the node of the place.
        changed: tells of each change of the place and of the session.
    """

    def __init__(
        self,
        session: Session,
        nodes: OwnedNodes,
        worker: Worker,
        path: str,
        data: bytes,
        *,
        acl: Sequence[AccessEntry] | None,
        hold: bool,
        numbered: Numbered | None = None,
        on_foreign_write: Callable[[bytes], None] | None = None,
    ) -> None:
        self._session = session
        self._worker = worker
        self._survives_disconnects = hold
        self.changed = Monitor()
        self._hold: H | None = None
        self._lease: Lease | None = None  # that of the hold
        self._ending: str | None = None  # why we end it ourselves
        self._over = False
        self._disowned = False  # it belongs to the parent process
        self._error: ZkDiscoveryError | None = None
        self._predecessor: TreeWatch | None = None  # used by the worker only
        self._last_ahead: str | None = None  # the predecessor, if nobody else is ahead (written by the worker)
        self._first = False  # nobody is ahead any more
        self._proof: Proof | None = None  # on its way, or here
        self.node: OwnedNode = nodes.prepare(
            path, data, on_state=self._on_node, on_foreign_write=on_foreign_write, restore=False, acl=acl,
            numbered=numbered,
        )  # fmt: skip
        worker.start()  # before anything listens
        session.listen(self._on_state)
        nodes.keep([self.node])

    # -- what each kind of queue adds --

    @abstractmethod
    def read_queue(self, generation: int, deadline: float) -> Sequence[str]:
        """Return the paths of the places that count for this one, its own included, in the order of the queue.

        Raises:
            ZkDiscoveryError: as `Session.call`.
        """

    def on_placed(self, generation: int) -> None:
        """Send ahead what `read_queue` will need (worker; must not block).

        Its answers come together with that of the look at the node, which follows each creation.
        """

    @abstractmethod
    def make_hold(self, fence: int, lease: Lease) -> H:
        """Return the hold that begins now (worker)."""

    @abstractmethod
    def on_begun(self, fence: int) -> None:
        """The hold has begun (worker). `on_ended` may come first: ask `hold.lost`."""

    @abstractmethod
    def on_ended(self, fence: int, reason: str, *, by_us: bool) -> None:
        """The lease of the hold is over (any thread; must not block)."""

    # -- any thread --

    @property
    def hold(self) -> H | None:
        """The hold, once it was won; it may be lost meanwhile."""
        return self._hold

    @property
    def over(self) -> bool:
        """True once the node is out of ZooKeeper for good."""
        return self._over

    @property
    def error(self) -> ZkDiscoveryError | None:
        """The error that keeps the place from getting on; None if nothing is known to be wrong."""
        return self.node.error or self._error

    def wait(self, condition: Callable[[Self], object], end: float) -> None:
        """Wait until `condition(place)`, which must be quick and take no lock, or until `end` (monotonic seconds).

        It is asked again after each change of the place or the session, and after `wake()`.
        """
        self.changed.wait_for(lambda: condition(self), end - time.monotonic())

    def wait_gone(self, timeout: float) -> None:
        """In contact with ZooKeeper, wait until the node is out of it; without contact, return at once."""
        run_steps(self.leaving(timeout))

    def leaving(self, timeout: float) -> Steps[None]:
        """The steps of `wait_gone`."""
        yield Until(
            lambda: self._over or self._session.state is not State.CONNECTED, deadline_after(timeout), self.changed
        )

    def wake(self) -> None:
        """Let those who wait look again."""
        with self.changed:
            self.changed.notify_all()

    def end_hold(self, reason: str) -> None:
        """End the hold and stay in the queue, so that nobody follows before `withdraw()`. Never blocks."""
        with self.changed:
            self._ending = self._ending or reason
            lease = self._lease
            self.changed.notify_all()
        if lease is not None:
            lease.give_up(reason)

    def withdraw(self, reason: str) -> None:
        """End the hold and leave the queue. Never blocks; idempotent. Does nothing in a forked child."""
        if self._disowned:
            return
        self.end_hold(reason)
        self.release_nodes()

    def forked(self) -> None:
        """In a forked child: the hold is the parent's."""
        self._disowned = True
        if self._lease is not None:
            self._lease.disown()

    # -- what makes the worker run --

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._schedule()
        self.wake()

    def _on_node(self, node: OwnedNode) -> None:
        if node.state is OwnedState.RELEASED:
            self._finish()
        elif node.state is OwnedState.HELD and self._hold is None:
            self._session.leases.expect(self)  # until `_finish` at the latest
            self.on_placed(self._session.generation)
            self._schedule()

    def _on_predecessor(self, kind: EventKind, path: str) -> None:
        if kind is EventKind.DELETED:
            if path == self._last_ahead:
                self._first = True
                self._proof = self._prove(self._session.generation)
            self._schedule()

    def _prove(self, generation: int) -> Proof:
        return self._session.leases.prove(self.node.path, generation=generation)

    def _schedule(self, delay: float = 0.0) -> None:
        self._worker.schedule((self, "contend"), self._contend, delay)

    # -- the worker --

    def _contend(self) -> None:
        """Find our place; watch the predecessor, or begin the hold."""
        session = self._session
        generation = session.generation
        with self.changed:
            if self._ending is not None or self._over or self._hold is not None:
                return
        if self.node.state is not OwnedState.HELD or session.state is not State.CONNECTED:
            return  # a change of either will call again
        deadline = time.monotonic() + session.settings.operation_timeout
        session.leases.expect(self)
        if self.over:  # meanwhile
            session.leases.dismiss(self)
            return
        try:
            if self._first:
                self._begin(generation, deadline)
            else:
                self._find_place(generation, deadline)
        except (ZkDiscoveryError, TimeoutError) as error:
            log.debug("the place %s: %s", self.node.path, error)
            self._error = error if isinstance(error, ZkDiscoveryError) else None
            self._schedule(error.delay if isinstance(error, Unproven) else RETRY_DELAY)
        except Exception:  # a recipe of users
            log.exception("the place %s can't be looked at, trying again", self.node.path)
            self._schedule(RETRY_DELAY)
        else:
            self._error = None

    def _find_place(self, generation: int, deadline: float) -> None:
        paths = self.read_queue(generation, deadline)
        if self.node.path not in paths:
            return  # deleted from outside: the event will call
        if place := paths.index(self.node.path):
            self._follow(paths[:place], generation, deadline)
        else:
            self._begin(generation, deadline)

    def _follow(self, ahead: Sequence[str], generation: int, deadline: float) -> None:
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

    def _begin(self, generation: int, deadline: float) -> None:
        fence = self.node.czxid
        proof, self._proof = self._proof, None
        if proof is None or proof.generation != generation or proof.deadline <= time.monotonic():
            proof = self._prove(generation)
        lease = self._session.leases.acquire(
            proof,
            deadline=deadline,
            hold=self._survives_disconnects,
            on_lost=lambda reason: self._on_lost(fence, reason),
        )
        try:
            hold = self.make_hold(fence, lease)
        except BaseException:
            lease.end("the hold could not be made")  # and nobody waits behind a place that holds nothing
            raise
        with self.changed:
            self._hold, self._lease = hold, lease
            ending = self._ending
            self.changed.notify_all()
        self._session.leases.dismiss(self)
        self._leave_predecessor()
        if ending is not None:  # it came while the lease began
            lease.give_up(ending)
        elif lease.reason is None:
            self.on_begun(fence)

    def _on_lost(self, fence: int, reason: str) -> None:
        """Leave the queue, unless we ended the lease ourselves (any thread; must not block)."""
        by_us = self._ending is not None
        self.on_ended(fence, reason, by_us=by_us)
        if not by_us:
            self.release_nodes()  # before a new place is taken

    def release_nodes(self) -> None:
        """Want all nodes of the place gone."""
        self.node.release()

    def _finish(self) -> None:
        self._leave_predecessor()
        self._session.unlisten(self._on_state)
        with self.changed:
            self._over = True
            lease = self._lease
            self.changed.notify_all()
        self.release_nodes()  # what else belongs to a place whose node was deleted from outside
        self._session.leases.dismiss(self)  # after it is over: `_contend` looks at that after it has expected
        if lease is not None:
            lease.end(str(self.node.error or "its node is gone"))

    def _leave_predecessor(self) -> None:
        watch, self._predecessor = self._predecessor, None
        if watch is not None:
            watch.close()
