"""Until when this process may act as the owner of a node of its session.

exchanges.py has the arithmetic: which answered messages prove that the leader has heard of the session, and until when
the session therefore lives. This module sends these messages. T is the granted session timeout.

- While leases are held, every tenth of T: two `sync`, one after the other, then one transaction `multi[check(node), …]`
  for all leases. The connection thread sends each when the one before is answered. The newest exchange that has waited
  for the leader's ping is 0.3 T old then: a renewal that begins at time t lasts until about t + 0.6 T. If the
  transaction alone proves as much, as it does after a handshake, the two `sync` are left out.
- From the first use of leases on, there is an exchange every tenth of T: a `sync` while a lease is expected to begin
  soon, else an `Echo`, which the server answers by itself. So a lease begins with one round trip, the transaction, and
  lasts 0.4 T to 0.5 T at first. Its renewal follows at once and makes that 0.5 T to 0.6 T.
- A client that has not used leases pings every third of T. These exchanges count as well.
- A lease begins with at least 0.3 T. If less can be proven, because the process stood still, no lease begins: the
  exchanges go on, and 0.275 T later there is a proof.

The maintenance thread and the connection thread send renewals. Answers arrive on the connection thread. `on_lost` is
called once, on either of them or on the thread that ends a lease, and must not block.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from zkdiscovery.errors import NodeMissing, NotConnected, ZkDiscoveryError
from zkdiscovery.session.clock import lease_now
from zkdiscovery.session.exchanges import LASTS, Exchanges
from zkdiscovery.session.requester import Requester
from zkdiscovery.session.requests import Check, Create, Delete, Echo, Multi, Request, SetData, Sync
from zkdiscovery.session.states import State, StateChange
from zkdiscovery.threads.waiting import Monitor, Steps, Until
from zkdiscovery.validation import deadline_after

log = logging.getLogger("zkdiscovery.session")

# All of the granted session timeout T:
RENEWAL = 0.1  # between two renewals, and between two exchanges
SOON = 0.02  # from the beginning of a lease to its first renewal: the thread that waits for the lease runs first
BEGINS = 0.3  # that a new lease lasts at least
RENEWED = 0.6  # that a lease lasts which is renewed regularly

BATCH = 500  # checks in one transaction


class Lease:
    """The right to act for one node, for a while. Reading it reads the clock; once lost it stays lost.

    Attributes:
        path: of the node.
        hold: False: a broken connection ends it at once.
        given_up: True once this process has ended it itself, and in a forked child. The node may still be there.
    """

    def __init__(
        self, leases: Leases, path: str, deadline: float, *, hold: bool, on_lost: Callable[[str], None]
    ) -> None:
        self.path = path
        self.hold = hold
        self.given_up = False
        self._leases = leases
        self._lock = threading.RLock()  # reentrant, because the garbage collector may end a campaign
        self._deadline = deadline  # seconds of the lease clock
        self._reason: str | None = None
        self._over = False  # True before `on_lost` is called
        self._changed = Monitor()  # tells of `_over`
        self._on_lost = on_lost

    @property
    def reason(self) -> str | None:
        """The reason why it was lost; None while it holds."""
        with self._lock:
            # Decided under the lock, so that a late renewal can't revive a lease that somebody saw as lost.
            if self._reason is None and lease_now() >= self._deadline:
                self._reason = "the session was not renewed in time"
            return self._reason

    @property
    def remaining(self) -> float:
        """Seconds left without a further renewal; 0.0 once lost."""
        return 0.0 if self.reason is not None else max(0.0, self._deadline - lease_now())

    def losing(self, timeout: float | None) -> Steps[bool]:
        """Wait until it is lost, at most `timeout` seconds; True if it is."""
        end = deadline_after(timeout)
        while self.reason is None:
            now = time.monotonic()
            if now >= end:
                return False
            # No longer, because the threads that would tell may not run.
            yield Until(lambda: self._over, min(end, now + self.remaining), self._changed)
        return True

    def end(self, reason: str) -> None:
        """End it, because it was lost; calls `on_lost` unless it was called before."""
        with self._lock:
            self._reason = reason = self._reason or reason
            told, self._over = self._over, True
        if not told:
            with self._changed:
                self._changed.notify_all()
            self._leases.forget(self)
            self._on_lost(reason)

    def give_up(self, reason: str) -> None:
        """End it, although nothing is wrong with it."""
        self.given_up = True
        self.end(reason)

    def disown(self) -> None:
        """In a forked child: give up the lease, which is the parent's, and the locks."""
        self.given_up = True
        self._lock = threading.RLock()
        self._reason = "it belongs to the parent process"
        self._over = True
        self._changed = Monitor()

    def extend(self, deadline: float) -> None:
        """Let it last until `deadline` at least, unless it is lost."""
        with self._lock:
            if self._reason is None and lease_now() < self._deadline:
                self._deadline = max(self._deadline, deadline)

    def limit(self, deadline: float) -> None:
        """Let it last until `deadline` at most."""
        with self._lock:
            self._deadline = min(self._deadline, deadline)


class Unproven(NotConnected):
    """The leader is not known to have heard of the session lately; a proof is possible in `delay` seconds."""

    delay: float = 0.0


class Proof(NamedTuple):
    """A transaction on its way, whose commit proves that a node exists.

    Attributes:
        request: what is sent, after the trips that it needs.
        answer: its answer.
        deadline: monotonic seconds; an answer that comes later proves too little.
        generation: the connection.
    """

    request: Multi
    answer: Future[Any]
    deadline: float
    generation: int


class Leases:
    """All leases of one session, their renewal, and the exchanges that prove them.

    Attributes:
        changed: tells of each renewal, and of each lease that is over.
    """

    def __init__(self, session: Requester, on_begin: Callable[[], None]) -> None:
        self._session = session
        self._on_begin = on_begin  # called on any thread when a lease begins; must not block or raise
        self._lock = threading.RLock()  # as that of a lease
        self._held: set[Lease] = set()
        self._expecting: set[Hashable] = set()  # those that expect a lease to begin soon
        self._used = False
        self._exchanges = Exchanges()
        self.changed = Monitor()
        session.listen(self._on_state)

    # -- what is exchanged --

    def connected(self, greeted: float, timeout: float) -> None:
        """Note a connection, whose handshake was sent at `greeted` and granted T = `timeout` (connection thread)."""
        with self._lock:
            self._exchanges.restart(greeted, lease_now(), timeout)
        for lease in self._leases():  # this server may have granted less than the one before
            lease.limit(greeted + LASTS * timeout)

    def answered(self, request: Request | None, sent: float) -> None:
        """Note the answer to a request, or to a ping (None), that is no error (connection thread)."""
        now = lease_now()
        commit = isinstance(request, (Multi, Create, Delete, SetData))
        with self._lock:
            self._exchanges.add(sent, now, trip=commit or isinstance(request, Sync), commit=commit)

    def expect(self, whom: Hashable) -> None:
        """Keep a proof ready until `dismiss`, because a lease may begin soon: so it takes one round trip.

        Never blocks; idempotent. From the first call on, this client has an exchange every tenth of T.
        """
        with self._lock:
            known = whom in self._expecting
            self._expecting.add(whom)
            self._used = True
        if not known:
            self._submit(Sync("/"))
            self._session.maintenance.schedule(self._renew, self._renew, RENEWAL * self._session.timeout)

    def dismiss(self, whom: Hashable) -> None:
        """Keep no proof ready any more. Never blocks; idempotent."""
        with self._lock:
            self._expecting.discard(whom)

    def _submit(self, request: Request, generation: int | None = None) -> Future[Any]:
        session = self._session
        return session.submit(request, deadline=time.monotonic() + session.timeout / 3, generation=generation)

    def _prepare(self, lasts: float, generation: int | None, then: Callable[[BaseException | None], None]) -> None:
        """Make the trips before a transaction, unless it proves `lasts` T without them; then call `then(error)`.

        Never blocks. `then` is called on this thread or on the connection thread; its argument is None after a success.
        """
        with self._lock:
            now = lease_now()
            ready = self._exchanges.provable(now) >= now + lasts * self._session.timeout
        left = 0 if ready else self._exchanges.trips - 1

        def go_on(trip: Future[Any] | None = None) -> None:
            nonlocal left
            error = None if trip is None else trip.exception()
            if error is not None or left == 0:
                then(error)
            else:
                left -= 1
                self._submit(Sync("/"), generation).add_done_callback(go_on)

        go_on()

    # -- how a lease begins --

    def prove(self, path: str, *, generation: int, also: Sequence[Check] = ()) -> Proof:
        """Send what proves that a lease on a node may begin. Never blocks.

        Args:
            path: of the node; it must be unique, so that no other node can ever have it.
            generation: the connection on which the lease is to begin.
            also: what must hold as well in that moment.
        """
        request = Multi([Check(path), *also])
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()  # parts of it may be on their way

        def take(done: Future[Any]) -> None:
            error = done.exception()
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(done.result())

        def send(error: BaseException | None) -> None:
            if error is not None:
                answer.set_exception(error)
            else:
                self._submit(request, generation).add_done_callback(take)

        deadline = time.monotonic() + (LASTS - BEGINS) * self._session.timeout
        self._prepare(BEGINS + RENEWAL / 2, generation, send)
        return Proof(request, answer, deadline, generation)

    def acquire(self, proof: Proof, *, deadline: float, hold: bool, on_lost: Callable[[str], None]) -> Lease:
        """Begin a lease; blocks until the proof is answered.

        Args:
            proof: of a node of the present session.
            deadline: monotonic seconds.
            hold: False: a broken connection ends it at once.
            on_lost: called with the reason, on any thread, possibly before this returns.

        Raises:
            NodeMissing: the node is not there.
            Unproven: the leader is not known to have heard of the session lately; nothing is held.
            NotConnected: the connection broke; nothing is held.
            OperationTimeout: no answer in time; nothing is held.
        """
        session, path = self._session, proof.request.operations[0].path
        session.result(proof.answer, proof.request, min(deadline, proof.deadline))
        with self._lock:
            now = lease_now()
            proven, ripe = self._exchanges.proven, self._exchanges.ripe(now)
        if proven < now + BEGINS * session.timeout:
            error = Unproven(
                f"ZooKeeper's leader is not known to have heard of us lately, so no lease on {path} begins; a proof"
                f" takes {ripe - now:.2g} s: this process or the ensemble stood still",
                path=path,
            )
            error.delay = ripe - now
            raise error
        lease = Lease(self, path, proven, hold=hold, on_lost=on_lost)
        with self._lock:
            self._held.add(lease)
        # Checked after the lease is in the table: from here on a state change ends it.
        if session.generation != proof.generation or session.state is not State.CONNECTED:
            self.forget(lease)
            raise NotConnected(f"the connection broke while the lease on {path} began; nothing is held", path=path)
        session.maintenance.schedule(self._renew, self._renew, SOON * session.timeout)
        self._watch_deadlines()
        self._on_begin()
        return lease

    def forget(self, lease: Lease) -> None:
        """Renew a lease no more."""
        with self._lock:
            self._held.discard(lease)
        self._tell()

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _leases(self) -> list[Lease]:
        with self._lock:
            return list(self._held)

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            # At once, because the leases have less time left.
            self._session.maintenance.schedule(self._renew, self._renew)
            return
        for lease in self._leases():
            if change.state is State.EXPIRED:
                lease.end("the session expired")
            elif change.state is State.CLOSED:
                lease.end("the client was closed")
            elif not lease.hold:
                lease.end("the connection to ZooKeeper broke")

    # -- how it is renewed --

    def _renew(self) -> None:
        """Renew all leases, or make an exchange (maintenance thread)."""
        with self._lock:
            held, expecting, used = bool(self._held), bool(self._expecting), self._used
        if held:
            self._prepare(RENEWED, None, self._check_all)
        elif expecting:
            self._submit(Sync("/"))
        elif used:
            self._submit(Echo())
        if held or used:
            self._session.maintenance.schedule(self._renew, self._renew, RENEWAL * self._session.timeout)
            self._watch_deadlines()

    def _check_all(self, error: BaseException | None) -> None:
        held = [] if error is not None else self._leases()
        for start in range(0, len(held), BATCH):
            self._check(held[start : start + BATCH])

    def _check(self, leases: list[Lease]) -> None:
        def done(future: Future[Any]) -> None:
            error = future.exception()
            if error is None:
                with self._lock:
                    proven = self._exchanges.proven
                for lease in leases:
                    lease.extend(proven)
                self._tell()
            elif isinstance(error, ZkDiscoveryError) and error.operation_index is not None:
                self._failed(leases, error, error.operation_index)

        self._submit(Multi([Check(lease.path) for lease in leases])).add_done_callback(done)

    def _failed(self, leases: list[Lease], error: ZkDiscoveryError, index: int) -> None:
        """Renew the others alone, because one node's check failed, and the whole transaction with it."""
        if isinstance(error, NodeMissing):
            leases[index].end("its node was deleted from outside")
        else:
            log.warning("the lease on %s can't be renewed: %s", leases[index].path, error)
        if rest := leases[:index] + leases[index + 1 :]:
            self._check(rest)

    def _watch_deadlines(self) -> None:
        held = self._leases()
        for lease in held:
            if (reason := lease.reason) is not None:
                lease.end(reason)
        if left := [lease.remaining for lease in held if lease.reason is None]:
            self._session.maintenance.schedule(self._watch_deadlines, self._watch_deadlines, max(0.001, min(left)))
