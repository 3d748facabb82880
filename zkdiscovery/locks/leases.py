"""The places of a semaphore: its gate, which is a mutex, and its leases, of which as many hold as the limit allows.

Whoever waits stands at the gate. The first one there takes a place among the leases and watches all of them. A place
holds if fewer leases than the limit stand before it. So at most `limit` hold, even if somebody goes around the gate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from zkdiscovery.core import Core
from zkdiscovery.errors import InvalidSettings, NodeChanged, UndecodableNode
from zkdiscovery.locks.limit import Limit, Stored, create_limit, limit_path, read_limit
from zkdiscovery.locks.names import Kind, Layout
from zkdiscovery.locks.place import MakeHold, Place
from zkdiscovery.session import Check, EventKind, Lease, Proof, TreeWatch
from zkdiscovery.znodes import BaseHold

H = TypeVar("H", bound=BaseHold)


class Limited(Place[H]):
    """A place of a semaphore, which knows the limit."""

    def __init__(
        self,
        core: Core,
        title: str,
        parent: str,
        kind: Kind,
        layout: Layout,
        data: bytes,
        make_hold: MakeHold[H],
        on_request: Callable[[H], object],
        limit: Limit,
    ) -> None:
        self._limit = limit
        super().__init__(core, title, parent, kind, layout, data, make_hold, on_request)

    def find_limit(self, generation: int, deadline: float) -> Stored | None:
        """Return the limit in force, stored now if there was none. None if we want another one: we are refused."""
        root, wanted = self._limit
        try:
            found = read_limit(self._session, root, generation, deadline)
            if found is None and wanted is not None:
                create_limit(self._session, root, wanted, generation, deadline)
                found = read_limit(self._session, root, generation, deadline)
        except UndecodableNode as error:
            self._refuse(error)
            return None
        if found is None:
            self._refuse(InvalidSettings(f"{self.title} has no limit yet: give one, or store it with set_limit()"))
        elif wanted not in {None, found.number}:
            self._refuse(
                InvalidSettings(
                    f"{self.title} has the limit {found.number}, and {wanted} was given: give the same or none, or"
                    f" change it for all with set_limit({wanted})"
                )
            )
        else:
            return found
        return None

    def _refuse(self, error: InvalidSettings | UndecodableNode) -> None:
        self.refused = error
        self.wake()


class Gate(Limited[H]):
    """A place at the gate. It holds no lease, so a request for its release is for nobody."""

    def note_request(self) -> None:
        """Ignore what was written into the node."""

    def read_queue(self, generation: int, deadline: float) -> list[str]:
        if self.find_limit(generation, deadline) is None:
            return []
        return super().read_queue(generation, deadline)


class LeasePlace(Limited[H]):
    """A place among the leases."""

    _version = -1  # of the limit that was seen last
    _room: TreeWatch | None = None  # on the whole semaphore (worker)

    def on_placed(self, generation: int) -> None:
        """Ask for nothing ahead, because the leases are listed after the watch on them is set."""

    def read_queue(self, generation: int, deadline: float) -> list[str]:
        if self._room is None:
            self._room = self._session.watches.add(self._limit.root, self._on_room)
        armed = self._room.arm(generation=generation, deadline=deadline)
        armed.result(max(0.0, deadline - time.monotonic()))  # no change is missed from here on
        limit = self.find_limit(generation, deadline)
        if limit is None:
            return []
        self._version = limit.version
        leases, own = self.places(generation, deadline), self.node.path
        if own in leases[: limit.number]:
            return [own]
        if own in leases:
            self.note_behind()
        return leases

    def make_hold(self, fence: int, lease: Lease) -> H:
        self._leave_room()
        return super().make_hold(fence, lease)

    def _on_room(self, kind: EventKind, path: str) -> None:
        """Look again when a lease goes or the limit changes (connection thread)."""
        if path == limit_path(self._limit.root) or (kind is EventKind.DELETED and path.startswith(f"{self._parent}/")):
            self._schedule()

    def _prove(self, generation: int) -> Proof:
        limit = Check(limit_path(self._limit.root), self._version)
        return self._session.leases.prove(self.node.path, generation=generation, also=[limit])

    def _begin(self, generation: int, deadline: float) -> None:
        try:
            super()._begin(generation, deadline)
        except NodeChanged:  # the limit
            self._first = False  # look at the queue again
            raise

    def _finish(self) -> None:
        self._leave_room()
        super()._finish()

    def _leave_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.close()
