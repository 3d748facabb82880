"""Until when this process may act as the owner of a node of its session.

Only a committed transaction proves contact with the quorum: an acknowledged ping proves that some server listens,
which may be cut off from its leader. While leases are held, one transaction `multi[check(node), …]` for all of them
is sent every tenth of the session timeout T.

ZooKeeper expires a session T after its leader heard of it last, or later. The leader hears of the clients of another
server with its pings of that server, every half tick, which is T/4 at most, for T is two ticks or more; a request of
such a client, committed or not, counts with the next ping only (ZooKeeper's `Leader.lead`, `Learner.ping`,
`LeaderZooKeeperServer.submitLearnerRequest`). So the commit of what was sent at time t proves that the leader has heard
of us at or after the time of whatever we sent before t - T/4:

    deadline = s + 0.9 T,  s = when the latest renewal was sent that is older than t - T/4

which is t + 0.6 T while renewals come regularly. When a lease begins, and after a gap, there is no such renewal. But a
connection pings when it was silent for a third of T, so that the leader has heard of us after t - T/4 - T/3:

    deadline = t + 0.4 T

What is left, T/10 and T/60, and more where ticks are shorter, is for clocks that differ and threads that are late.

A leader that stands still, say to collect garbage, sends no pings meanwhile, and may commit what has waited before the
next one. An answer that took longer than a renewal's interval is the sign of it: what was sent before proves nothing
any more. That covers pauses of up to T/3, after which the connection is given up. It does not cover one of more than
T/60 at the very beginning of a term, if the leader is cut off from us, or stands still again, at the first commit.

Renewals are sent by the keeper thread, answers arrive on the connection thread; `on_lost` is called on either, or on
the thread that ends a lease, once, and must not block.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

from zkdiscovery.errors import NodeMissing, NotConnected, ZkDiscoveryError
from zkdiscovery.model import deadline_after
from zkdiscovery.session.clock import lease_now
from zkdiscovery.session.requests import Check, Multi
from zkdiscovery.session.states import State, StateChange

if TYPE_CHECKING:
    from zkdiscovery.session.session import Session

log = logging.getLogger("zkdiscovery.session")

# All of the negotiated session timeout:
RENEWAL = 0.1  # between two renewals
HALF_TICK = 0.25  # after which the leader has heard of what was sent, at most
FIRST = 0.4  # lasts a lease with nothing but one commit behind it
PROVEN = 0.9  # lasts a lease from the time at which the leader has surely heard of us

BATCH = 500  # checks in one transaction


class Lease:
    """The right to act for one node, for a while. Reading it reads the clock; once lost it stays lost."""

    def __init__(
        self, leases: Leases, path: str, deadline: float, *, hold: bool, on_lost: Callable[[str], None]
    ) -> None:
        self.path = path
        self.hold = hold
        self._leases = leases
        self._lock = threading.Lock()
        self._deadline = deadline  # seconds of the lease clock
        self._reason: str | None = None
        self._over = threading.Event()  # `on_lost` is called, or was
        self._on_lost = on_lost

    @property
    def reason(self) -> str | None:
        """Why it was lost; None while it holds."""
        with self._lock:
            # Decided under the lock, so that a late renewal can't revive what somebody saw as lost.
            if self._reason is None and lease_now() >= self._deadline:
                self._reason = "the session was not renewed in time"
            return self._reason

    @property
    def remaining(self) -> float:
        """Seconds left without a further renewal; 0.0 once lost."""
        return 0.0 if self.reason is not None else max(0.0, self._deadline - lease_now())

    def wait(self, timeout: float | None) -> bool:
        """Wait until it is lost, at most `timeout` seconds; True if it is."""
        end = None if timeout is None else deadline_after(timeout)
        while self.reason is None:
            left = self.remaining  # no longer: it may pass while the threads that would tell us can't run
            if end is not None:
                left = min(left, end - time.monotonic())
                if left <= 0:
                    return self.reason is not None
            self._over.wait(left)
        return True

    def end(self, reason: str) -> None:
        """Give it up, or note that it was lost; calls `on_lost` if nobody has."""
        with self._lock:
            self._reason = reason = self._reason or reason
            told = self._over.is_set()
            self._over.set()
        if not told:
            self._leases._forget(self)
            self._on_lost(reason)

    def disown(self) -> None:
        """In a forked child: it is the parent's, and so are the locks."""
        self._lock = threading.Lock()
        self._reason = "it belongs to the parent process"
        self._over = threading.Event()
        self._over.set()

    def _extend(self, deadline: float) -> None:
        with self._lock:
            if self._reason is None and lease_now() < self._deadline:
                self._deadline = max(self._deadline, deadline)


class Proof(NamedTuple):
    """A transaction on its way, whose commit proves that a node stands and that the leader has heard of us.

    Attributes:
        request: what was sent.
        answer: its answer.
        sent: when, in seconds of the lease clock.
        timeout: the session's at that time, in seconds.
        deadline: monotonic seconds; a lease that begins later is over.
        generation: the connection.
    """

    request: Multi
    answer: Future[Any]
    sent: float
    timeout: float
    deadline: float
    generation: int


class Leases:
    """All leases of one session and their renewal."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._held: set[Lease] = set()
        self._committed: deque[float] = deque()  # when the latest committed renewals were sent, on the lease clock
        session.listen(self._on_state)

    def prove(self, path: str, *, generation: int) -> Proof:
        """Send for the proof that a lease on a node begins with. Never blocks.

        Args:
            path: the node, of which no other incarnation can ever stand on the same path.
            generation: the connection on which the lease is to begin.
        """
        sent, timeout = lease_now(), self._session.timeout
        deadline = time.monotonic() + FIRST * timeout
        request = Multi([Check(path)])
        answer = self._session.submit(request, deadline=deadline, generation=generation)
        return Proof(request, answer, sent, timeout, deadline, generation)

    def acquire(self, proof: Proof, *, deadline: float, hold: bool, on_lost: Callable[[str], None]) -> Lease:
        """Begin a lease; blocks until the proof is answered.

        Args:
            proof: of a node of the present session.
            deadline: monotonic seconds.
            hold: False: a broken connection ends it at once.
            on_lost: called with the reason, on any thread, possibly before this returns.

        Raises:
            NodeMissing: the node is not there.
            NotConnected, OperationTimeout: not known to be committed in time; nothing is held.
        """
        session, path = self._session, proof.request.operations[0].path
        session.result(proof.answer, proof.request, min(deadline, proof.deadline))
        lease = Lease(self, path, self._proven(proof.sent, proof.timeout), hold=hold, on_lost=on_lost)
        with self._lock:
            self._held.add(lease)
        # Asked after it is in the table: what breaks from here on is told to it.
        if session.generation != proof.generation or session.state is not State.CONNECTED:
            self._forget(lease)
            raise NotConnected(f"the connection broke while the lease on {path} began; nothing is held", path=path)
        # From when the proof was sent, as the lease is: it may have waited long for us.
        due = proof.sent + RENEWAL * proof.timeout
        session.keeper.schedule(self._renew, self._renew, max(0.0, due - lease_now()))
        self._watch_deadlines()
        return lease

    def _proven(self, sent: float, timeout: float) -> float:
        """The deadline that the commit of what was sent at `sent` stands for."""
        sure = sent - HALF_TICK * timeout
        with self._lock:
            committed = self._committed
            if lease_now() - sent > RENEWAL * timeout:
                committed.clear()
            committed.append(sent)
            while len(committed) > 1 and committed[1] <= sure:
                committed.popleft()
            heard = committed[0]
        deadline = sent + FIRST * timeout
        return max(deadline, heard + PROVEN * timeout) if heard <= sure else deadline

    def _forget(self, lease: Lease) -> None:
        with self._lock:
            self._held.discard(lease)

    def _leases(self) -> list[Lease]:
        with self._lock:
            return list(self._held)

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._session.keeper.schedule(self._renew, self._renew)  # at once: the blip has used up a part of the lease
            return
        for lease in self._leases():
            if change.state is State.EXPIRED:
                lease.end("the session expired")
            elif change.state is State.CLOSED:
                lease.end("the client was closed")
            elif not lease.hold:
                lease.end("the connection to ZooKeeper broke")

    # -- the keeper --

    def _renew(self) -> None:
        held = self._leases()
        if not held:
            return
        for start in range(0, len(held), BATCH):
            self._send(held[start : start + BATCH])
        self._session.keeper.schedule(self._renew, self._renew, RENEWAL * self._session.timeout)
        self._watch_deadlines()

    def _send(self, leases: list[Lease]) -> None:
        session = self._session
        sent, timeout = lease_now(), session.timeout
        request = Multi([Check(lease.path) for lease in leases])

        def done(future: Future[Any]) -> None:
            error = future.exception()
            if error is None:
                deadline = self._proven(sent, timeout)
                for lease in leases:
                    lease._extend(deadline)
            elif isinstance(error, ZkDiscoveryError) and error._index is not None:
                self._failed(leases, error, error._index)

        session.submit(request, deadline=time.monotonic() + timeout / 3).add_done_callback(done)

    def _failed(self, leases: list[Lease], error: ZkDiscoveryError, index: int) -> None:
        """One node's check failed and so the whole transaction did: the others are renewed without it."""
        if isinstance(error, NodeMissing):
            leases[index].end("its node was deleted from outside")
        else:
            log.warning("the lease on %s can't be renewed: %s", leases[index].path, error)
        if rest := leases[:index] + leases[index + 1 :]:
            self._send(rest)

    def _watch_deadlines(self) -> None:
        held = self._leases()
        for lease in held:
            if (reason := lease.reason) is not None:
                lease.end(reason)
        if left := [lease.remaining for lease in held if lease.reason is None]:
            self._session.keeper.schedule(self._watch_deadlines, self._watch_deadlines, max(0.001, min(left)))
