"""The feature that all locks of one client share. It closes when the client drains."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.errors import NodeMissing
from zkdiscovery.lifecycle import MAX_ID
from zkdiscovery.locks.leases import Gate, LeasePlace
from zkdiscovery.locks.limit import Limit, read_limit, write_limit
from zkdiscovery.locks.names import Kind, Layout, holding, in_order
from zkdiscovery.locks.party import Party
from zkdiscovery.locks.place import RELEASE_REQUEST, MakeHold, Place
from zkdiscovery.session import NO_NODE, Found, GetChildren, Node, Session, SetData, bulk_read
from zkdiscovery.threads import Steps, run_steps
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import BaseHold, name_of

H = TypeVar("H", bound=BaseHold)


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who holds a lock or waits for it.

    Attributes:
        id: what it calls itself: `<hostname>:<pid>:<start>` where this SDK made it, an address where Curator did;
            empty if it can't be read, or if Curator made it and somebody has asked for its release.
        fence: the fence of its hold, once it holds; 0 if its node can't be read.
        since: when it joined the queue, in seconds since the epoch on ZooKeeper's clock; 0.0 if its node can't be read.
        session: id of its ZooKeeper session; 0 if its node can't be read.
        path: its node.
    """

    id: str
    fence: int
    since: float = 0.0
    session: int = 0
    path: str = ""


class Standing(NamedTuple):
    """The contenders at a lock or a semaphore, in order.

    Attributes:
        holders: who holds it, or comes next while its holder leaves.
        waiters: who waits.
        limit: of a semaphore, if one is stored.
    """

    holders: list[Contender]
    waiters: list[Contender]
    limit: int | None = None


class Kept(Protocol):
    """Something that stands in ZooKeeper until it is left, or the client closes."""

    def release(self) -> None:
        """Leave. Never blocks."""

    def leaving(self, timeout: float, /) -> Steps[None]:
        """In contact with ZooKeeper, wait until it is gone."""

    def stop(self, reason: str, /) -> None:
        """End because the client closes; `closing` follows. Never blocks."""

    def closing(self, deadline: float, /) -> Steps[None]:
        """Wait until it is gone, until `deadline` (monotonic seconds)."""

    def forked(self) -> None:
        """In a forked child: it is the parent's."""


K = TypeVar("K", bound=Kept)


class Locks(Feature):
    """The places of one client in the queues of locks, and at barriers."""

    phase = Phase.HOLDS

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._lock = threading.Lock()
        self._places: weakref.WeakSet[Kept] = weakref.WeakSet()  # the session refers to those that stand

    def take_place(
        self,
        title: str,
        parent: str,
        kind: Kind,
        layout: Layout,
        id: str,
        make_hold: MakeHold[H],
        on_request: Callable[[H], object],
        limit: Limit | None = None,
    ) -> Place[H]:
        """Take a place at the end of a queue. Never blocks. For the arguments see `Place`; a semaphore has a limit.

        Raises:
            ClientClosed: the client was drained or closed.
            NoThreadAvailable: the system has no thread to give.
        """

        def make() -> Place[H]:
            given = self.core, title, parent, kind, layout, id.encode(), make_hold, on_request
            if limit is None:
                return Place(*given)
            return Gate(*given, limit) if kind is Kind.GATE else LeasePlace(*given, limit)

        return self.keep(make)

    def come(self, title: str, parent: str, parties: int, id: str) -> Party:
        """Come to a barrier. Never blocks. For the arguments see `Party`. Raises as `take_place`."""
        return self.keep(lambda: Party(self.core, title, parent, parties, id))

    def keep(self, make: Callable[[], K]) -> K:
        """Make something that ends with the client. Raises as `take_place`."""
        with self._lock:
            self.require_open()
            place = make()
            self._places.add(place)
        return place

    def names(self, timeout: float) -> list[str]:
        """Names of all locks below the namespace, sorted; one read. Free ones may be listed until ZooKeeper reaps them.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self.core.session.children(self.core.paths.locks(), timeout=timeout)

    def semaphore_names(self, timeout: float) -> list[str]:
        """Names of all semaphores below the namespace, sorted; one read. Raises as `names`."""
        return self.core.session.children(self.core.paths.semaphores(), timeout=timeout)

    def contenders(self, parent: str, timeout: float) -> Standing:
        """Return who stands at a lock; two reads.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """

        def once(deadline: float, generation: int) -> Standing:
            queue = read_queue(self.core.session, parent, generation, deadline)
            count = holding([name_of(who.path) for who in queue])
            return Standing(queue[:count], queue[count:])

        return self.core.session.retry(once, timeout)

    def semaphore_contenders(self, parent: str, timeout: float) -> Standing:
        """Return who stands at a semaphore; five reads. Raises as `contenders`."""

        def once(deadline: float, generation: int) -> Standing:
            session = self.core.session
            found = read_limit(session, parent, generation, deadline)
            leases = read_queue(session, f"{parent}/leases", generation, deadline)
            gate = read_queue(session, f"{parent}/locks", generation, deadline)
            limit = None if found is None else found.number
            return Standing(leases[:limit], gate, limit)

        return self.core.session.retry(once, timeout)

    def request_release(self, holders: Sequence[Contender], timeout: float) -> list[Contender]:
        """Ask holders to release what they hold. Return those who still stand.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        end = deadline_after(timeout)
        return [holder for holder in holders if self._ask(holder.path, max(0.0, end - time.monotonic()))]

    def _ask(self, path: str, timeout: float) -> bool:
        session, request = self.core.session, SetData(path, RELEASE_REQUEST)
        try:
            session.retry(
                lambda deadline, generation: session.call(request, deadline=deadline, generation=generation), timeout
            )
        except NodeMissing:
            return False
        return True

    def set_limit(self, parent: str, number: int, timeout: float) -> None:
        """Store the limit of a semaphore.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        session = self.core.session
        session.retry(lambda deadline, generation: write_limit(session, parent, number, generation, deadline), timeout)

    def begin_close(self, deadline: float) -> None:  # noqa: ARG002 - it is quick
        with self._lock:
            places = list(self._places)
        for place in places:
            place.stop("the client was closed")

    def close(self, deadline: float) -> None:
        for place in list(self._places):
            run_steps(place.closing(deadline))

    def forked(self) -> None:
        for place in list(self._places):
            place.forked()


def read_queue(session: Session, parent: str, generation: int, deadline: float) -> list[Contender]:
    """Return the contenders of a queue, in order.

    Raises:
        ZkDiscoveryError: as `Session.call`.
    """
    try:
        names = in_order(session.call(GetChildren(parent), deadline=deadline, generation=generation))
    except NodeMissing:
        return []
    paths = [f"{parent}/{name}" for name in names]
    found = bulk_read(session, paths, generation=generation, deadline=deadline)
    return [_contender(path, node) for path, node in found if node != NO_NODE]


def _contender(path: str, node: Found) -> Contender:
    if not isinstance(node, Node):  # we may not read it
        return Contender("", 0, path=path)
    text = node.data[: 4 * MAX_ID].decode(errors="replace")[:MAX_ID]
    stat, shown = node.stat, text.isprintable() and node.data != RELEASE_REQUEST
    return Contender(text if shown else "", stat.czxid, stat.ctime / 1000, stat.ephemeral_owner, path)
