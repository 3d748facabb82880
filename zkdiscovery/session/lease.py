"""Until when this process may act as the owner of a node of its session.

Only a committed transaction proves contact with the quorum: an acknowledged ping proves that some server listens,
    which may be
cut off from its leader. While leases are held, one transaction `multi[check(node), …]` for all of them is sent every
tenth of the session timeout, and

    deadline = time at which the last committed renewal was sent + 0.6 x negotiated session timeout.

The server takes the session for dead no earlier than `timeout` after it saw that request, less half a tick (at most a
quarter of the timeout), so a deadline lies before the moment at which the node can vanish by expiry.

Renewals are sent by the keeper thread, answers arrive on the connection thread; `on_lost` is called on either, once,
and must not block.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from zkdiscovery.errors import NodeMissing, ZkDiscoveryError
from zkdiscovery.session.clock import lease_now
from zkdiscovery.session.requests import Check, Multi
from zkdiscovery.session.states import State, StateChange

if TYPE_CHECKING:
    from zkdiscovery.session.session import Session

log = logging.getLogger("zkdiscovery.session")

LEASE_FRACTION = 0.6  # of the negotiated session timeout
RENEWAL_FRACTION = 0.1  # of the negotiated session timeout
BATCH = 500  # checks in one transaction


class Lease:
    """The right to act for one node, for a while. Reading it reads the clock; once lost it stays lost."""

    def __init__(self, leases: Leases, path: str, epoch: int, deadline: float, on_lost: Callable[[str], None]) -> None:
        self.path = path
        self.epoch = epoch
        self._leases = leases
        self._lock = threading.Lock()
        self._deadline = deadline  # seconds of the lease clock
        self._reason: str | None = None
        self._on_lost = on_lost
        self._told = False

    @property
    def reason(self) -> str | None:
        """Why it was lost; None while it holds."""
        with self._lock:
            # Decided under the lock, so that a late renewal can't revive what somebody saw as lost.
            if self._reason is None and lease_now() >= self._deadline:
                self._reason = "the session was not renewed in time"
            return self._reason

    @property
    def deadline(self) -> float:
        """Seconds of the lease clock (`lease_now`)."""
        return self._deadline

    @property
    def remaining(self) -> float:
        """Seconds left without a further renewal; 0.0 once lost."""
        return 0.0 if self.reason is not None else max(0.0, self._deadline - lease_now())

    def end(self, reason: str) -> None:
        """Give it up, or note that it was lost; calls `on_lost` if nobody has."""
        with self._lock:
            self._reason = self._reason or reason
            reason = self._reason
            told, self._told = self._told, True
        self._leases._forget(self)
        if not told:
            self._on_lost(reason)

    def _extend(self, deadline: float) -> None:
        with self._lock:
            if self._reason is None and lease_now() < self._deadline:
                self._deadline = max(self._deadline, deadline)


class Leases:
    """All leases of one session and their renewal."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._held: dict[str, Lease] = {}
        session.listen(self._on_state)

    def acquire(self, path: str, *, generation: int, deadline: float, on_lost: Callable[[str], None]) -> Lease:
        """Begin a lease on a node of the present session; blocks for one committed transaction.

        Raises:
            NodeMissing: the node is not there.
            NotConnected, OperationTimeout: not known to be committed; nothing is held.
        """
        session = self._session
        epoch, sent = session.epoch, lease_now()
        session.call(Multi([Check(path)]), deadline=deadline, generation=generation)
        lease = Lease(self, path, epoch, sent + LEASE_FRACTION * session.timeout, on_lost)
        with self._lock:
            self._held[path] = lease
        if session.epoch != epoch:  # expired in between: the listener may have run before we were in the table
            lease.end("the session expired")
            return lease
        session.keeper.schedule(self._renew, self._renew, RENEWAL_FRACTION * session.timeout)
        self._watch_deadlines()
        return lease

    def _forget(self, lease: Lease) -> None:
        with self._lock:
            if self._held.get(lease.path) is lease:
                del self._held[lease.path]

    def _leases(self) -> list[Lease]:
        with self._lock:
            return list(self._held.values())

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._session.keeper.schedule(self._renew, self._renew)  # at once: the blip has used up a part of the lease
        elif change.state in {State.EXPIRED, State.CLOSED}:
            reason = "the session expired" if change.state is State.EXPIRED else "the client was closed"
            for lease in self._leases():
                lease.end(reason)

    def _renew(self) -> None:
        held = self._leases()
        if not held:
            return
        for start in range(0, len(held), BATCH):
            self._send(held[start : start + BATCH])
        self._session.keeper.schedule(self._renew, self._renew, RENEWAL_FRACTION * self._session.timeout)
        self._watch_deadlines()

    def _send(self, leases: list[Lease]) -> None:
        session = self._session
        sent, timeout = lease_now(), session.timeout
        request = Multi([Check(lease.path) for lease in leases])

        def done(future: Future[Any]) -> None:
            error = None if future.cancelled() else future.exception()
            if error is None and not future.cancelled():
                for lease in leases:
                    lease._extend(sent + LEASE_FRACTION * timeout)
            elif isinstance(error, ZkDiscoveryError) and error._index is not None:
                self._failed(leases, error, error._index)

        session.submit(request, deadline=time.monotonic() + timeout / 3).add_done_callback(done)

    def _failed(self, leases: list[Lease], error: ZkDiscoveryError, index: int) -> None:
        """One node's check failed and so the whole transaction did: the others are renewed without it."""
        if isinstance(error, NodeMissing):
            leases[index].end("its node was deleted from outside")
            rest = leases[:index] + leases[index + 1 :]
            if rest:
                self._send(rest)
        elif len(leases) > 1:
            for lease in leases:
                self._send([lease])
        else:
            log.warning("the lease on %s can't be renewed: %s", leases[0].path, error)

    def _watch_deadlines(self) -> None:
        held = self._leases()
        for lease in held:
            if (reason := lease.reason) is not None:
                lease.end(reason)
        if alive := [lease.deadline for lease in held if lease.reason is None]:
            self._session.keeper.schedule(
                self._watch_deadlines, self._watch_deadlines, max(0.001, min(alive) - lease_now())
            )
