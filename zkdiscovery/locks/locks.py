"""The feature that all locks of one client share. It closes when the client drains."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.errors import NodeMissing
from zkdiscovery.locks.leases import Gate, LeasePlace
from zkdiscovery.locks.limit import Limit, read_limit, write_limit
from zkdiscovery.locks.names import Kind, Layout, holding, in_order
from zkdiscovery.locks.place import MakeHold, Place
from zkdiscovery.session import NO_NODE, Found, GetChildren, Node, Session, bulk_read
from zkdiscovery.threads import run_steps
from zkdiscovery.znodes import BaseHold

H = TypeVar("H", bound=BaseHold)

MAX_ID = 256  # characters of an id that are shown


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who holds a lock or waits for it.

    Attributes:
        id: what it calls itself: `<hostname>:<pid>:<start>` where this SDK made it, an address where Curator did;
            empty if it can't be read.
        fence: the fence of its hold, once it holds; 0 if its node can't be read.
    """

    id: str
    fence: int


class Locks(Feature):
    """The places of one client in the queues of locks."""

    phase = Phase.HOLDS

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._lock = threading.Lock()
        self._places: weakref.WeakSet[Place[Any]] = weakref.WeakSet()  # the session refers to those that stand

    def take_place(
        self,
        title: str,
        parent: str,
        kind: Kind,
        layout: Layout,
        id: str,
        make_hold: MakeHold[H],
        limit: Limit | None = None,
    ) -> Place[H]:
        """Take a place at the end of a queue. Never blocks. For the arguments see `Place`; a semaphore has a limit.

        Raises:
            ClientClosed: the client was drained or closed.
            NoThreadAvailable: the system has no thread to give.
        """

        def make() -> Place[H]:
            given = self.core, title, parent, kind, layout, id.encode(), make_hold
            if limit is None:
                return Place(*given)
            return Gate(*given, limit) if kind is Kind.GATE else LeasePlace(*given, limit)

        return self.keep(make)

    def keep(self, make: Callable[[], Place[H]]) -> Place[H]:
        """Make a place that ends with the client. Raises as `take_place`."""
        with self._lock:
            self.require_open()
            place = make()
            self._places.add(place)
        return place

    def contenders(self, parent: str, timeout: float) -> tuple[list[Contender], list[Contender]]:
        """Who holds a lock, and who waits for it, in order; two reads.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """

        def once(deadline: float, generation: int) -> tuple[list[Contender], list[Contender]]:
            queue = read_queue(self.core.session, parent, generation, deadline)
            count = holding([name for name, _ in queue])
            everybody = [contender for _, contender in queue]
            return everybody[:count], everybody[count:]

        return self.core.session.retry(once, timeout)

    def semaphore_contenders(self, parent: str, timeout: float) -> tuple[list[Contender], list[Contender]]:
        """Who holds a semaphore, and who waits for it, in order; five reads. Raises as `contenders`."""

        def once(deadline: float, generation: int) -> tuple[list[Contender], list[Contender]]:
            session = self.core.session
            found = read_limit(session, parent, generation, deadline)
            leases = read_queue(session, f"{parent}/leases", generation, deadline)
            gate = read_queue(session, f"{parent}/locks", generation, deadline)
            most = len(leases) if found is None else found.number
            return [who for _, who in leases[:most]], [who for _, who in gate]

        return self.core.session.retry(once, timeout)

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


def read_queue(session: Session, parent: str, generation: int, deadline: float) -> list[tuple[str, Contender]]:
    """Return the names and the contenders of a queue, in order.

    Raises:
        ZkDiscoveryError: as `Session.call`.
    """
    try:
        names = in_order(session.call(GetChildren(parent), deadline=deadline, generation=generation))
    except NodeMissing:
        return []
    paths = [f"{parent}/{name}" for name in names]
    found = bulk_read(session, paths, generation=generation, deadline=deadline)
    nodes = zip(names, (node for _, node in found), strict=True)
    return [(name, _contender(node)) for name, node in nodes if node != NO_NODE]


def _contender(node: Found) -> Contender:
    if not isinstance(node, Node):  # we may not read it
        return Contender("", 0)
    text = node.data[: 4 * MAX_ID].decode(errors="replace")[:MAX_ID]
    return Contender(text if text.isprintable() else "", node.stat.czxid)
