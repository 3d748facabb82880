"""The part of a lock that the sync and the async one share: one hold of an object at a time, the steps of waiting.

Guarantees
- An object holds its lock once: a second try to hold it raises, while the first one lasts.
- A wait that ends without a hold, in whatever way, leaves no node.
- After the client has begun to close no hold begins, and whoever waits for one is woken.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any, Generic, TypeVar

from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.errors import ClientClosed, LockTimeout
from zkdiscovery.lifecycle import default_id, leaving
from zkdiscovery.locks.limit import Limit
from zkdiscovery.locks.locks import Contender, Kept, Locks, Standing
from zkdiscovery.locks.names import Kind, Layout
from zkdiscovery.locks.place import Place
from zkdiscovery.threads import Monitor, Steps, Subscribers, Subscription, Until, latest
from zkdiscovery.validation import check_timeout, deadline_after
from zkdiscovery.znodes import BaseHold, Paths

H = TypeVar("H", bound=BaseHold)

WAIT = 10.0  # seconds that a lock is waited for by default
LEAVE_TIMEOUT = 5.0  # seconds that the end of a hold waits for its node to be gone


class Outcome(Enum):
    """An outcome of a wait for a place."""

    HELD = auto()
    BEHIND = auto()  # others are ahead, and nobody wants to wait
    LOST = auto()  # its node or its session, before it held anything


class BaseLock(Generic[H]):
    """One lock of one kind. Nothing is sent before the first use.

    Args:
        title: names the lock, in messages.
        parent: gives the path of its queue.
        kind: what our places are for.
        layout: how they are named.
        slot: of the client.
    """

    hold_type: type[H]

    def __init__(self, title: str, parent: Callable[[Core], str], kind: Kind, layout: Layout, slot: CoreSlot) -> None:
        self._title = title
        self._parent = parent
        self._kind = kind
        self._layout = layout
        self._slot = slot
        self._requests: Subscribers[H] = Subscribers(slot.dispatcher, latest)
        self._renew()
        slot.add(self)

    def _renew(self) -> None:
        self._changed = Monitor()
        self._taking = False  # somebody waits for it through this object
        self._place: Place[H] | None = None  # the present or the last one

    def forked(self) -> None:
        """In a forked child: as new; the hold is the parent's."""
        self._renew()

    def revive(self, core: Core) -> None:
        """In a forked child: the lock is taken when it is asked for."""

    def __repr__(self) -> str:
        place = self._place
        held = place is not None and place.holds
        state = "held by this object" if held else "waiting" if self._taking else "not held by this object"
        return f"<{type(self).__name__} {self._title}: {state}>"

    def __reduce__(self) -> str:
        raise TypeError("a lock holds a connection and can't be pickled; call lock() in the other process")

    # -- the steps --

    def _acquiring(self, timeout: float | None, *, wait: bool = True) -> Steps[Place[H] | None]:
        """Take a place that holds the lock. None if others are ahead, and nobody wants to `wait`."""
        timeout = check_timeout(timeout)
        end = deadline_after(timeout)
        with self._changed:
            if self._taking or (self._place is not None and self._place.holds):
                raise RuntimeError(
                    f"this object holds {self._title} already, or waits for it: locks are not re-entrant; make another"
                    " object for another thread or task"
                )
            self._taking = True
        try:
            return (yield from self._taking_place(timeout, end, wait=wait))
        finally:
            self._taking = False

    def _holding(self, timeout: float | None) -> Steps[tuple[Place[H], H]]:
        """Wait for a place that holds the lock; return both."""
        place = yield from self._acquiring(timeout)
        if place is None or place.hold is None:
            raise AssertionError("waited for a hold, and has none")
        return place, place.hold

    def _taking_place(self, timeout: float, end: float, *, wait: bool) -> Steps[Place[H] | None]:
        while True:
            self._place = place = self._new_place(self._parent(self._slot.current()), self._kind)
            outcome = yield from self._wait_for(place, timeout, end, wait=wait)
            if outcome is Outcome.HELD:
                return place
            if outcome is Outcome.BEHIND:
                return None

    def _wait_for(self, place: Place[H], timeout: float, end: float, *, wait: bool) -> Steps[Outcome]:
        """Wait until a place holds. One that does not in the end leaves no node."""
        try:
            yield Until(partial(_is_decided, place, wait=wait), end, place.changed)
            if place.holds:
                return Outcome.HELD
            if place.refused is not None:
                raise place.refused
            if place.stopped:
                raise ClientClosed("the client was closed")
            outcome = Outcome.BEHIND if place.behind and not wait else Outcome.LOST
            if outcome is Outcome.LOST and time.monotonic() >= end:
                why = place.error or self._slot.current().session.status_message or "it is held"
                raise LockTimeout(f"{self._title} was not free within {timeout:g} s: {why}")
        except GeneratorExit:  # nobody takes these steps any more
            place.release()
            raise
        except BaseException:
            yield from leave(place)
            raise
        yield from leave(place)
        return outcome

    def _new_place(self, parent: str, kind: Kind, limit: Limit | None = None) -> Place[H]:
        locks = self._slot.current().feature(Locks)
        return locks.take_place(
            self._title, parent, kind, self._layout, default_id(), self.hold_type, self._requests.offer, limit
        )

    # -- the others --

    def _contenders(self, timeout: float) -> Standing:
        """Return who holds the lock, and who waits for it; blocks."""
        core = self._slot.current()
        return core.feature(Locks).contenders(self._parent(core), timeout)

    def _request_release(self, timeout: float) -> list[Contender]:
        """Ask the holders; blocks."""
        end = deadline_after(timeout)
        locks, holders = self._slot.current().feature(Locks), self._contenders(timeout).holders
        return locks.request_release(holders, max(0.0, end - time.monotonic()))

    def _subscribe(self, fn: Callable[[H], object]) -> Subscription[H]:
        """Call `fn(hold)` for each request, and for one that came already for the present hold."""
        place = self._place
        if place is None:
            return self._requests.subscribe(fn)
        with place.changed:  # a request that comes in this moment is told once
            hold = place.requested
            return self._requests.subscribe(fn, *([] if hold is None or hold.lost else [hold]))


L = TypeVar("L", bound=BaseLock[Any])


class BaseReadWriteLock(Generic[L]):
    """A lock that many readers may hold at once, or one writer alone.

    Attributes:
        read: the lock of readers. It is held by several at once, so fences of readers are unique but in no order.
        write: the lock of writers. It excludes everybody else, and the holders of a `lock` of that name.
    """

    lock_type: type[L]

    def __init__(self, name: str, layout: Layout, slot: CoreSlot) -> None:
        self.read = self.lock_type(f"the read lock {name!r}", lock_queue(name), Kind.READ, layout, slot)
        self.write = self.lock_type(f"the write lock {name!r}", lock_queue(name), Kind.WRITE, layout, slot)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.read!r} {self.write!r}>"


def _is_decided(place: Place[H], *, wait: bool) -> bool:
    return (
        place.hold is not None
        or place.over
        or place.stopped
        or place.refused is not None
        or (place.behind and not wait)
    )


def leave(place: Kept) -> Steps[None]:
    """Leave; while connected, wait until the node is gone."""
    place.release()
    with leaving(LEAVE_TIMEOUT) as limit:
        yield from place.leaving(limit)


def lock_queue(name: str) -> Callable[[Core], str]:
    """Return what gives the path of a lock's queue. Raises InvalidName."""
    Paths("").lock(name)
    return lambda core: core.paths.lock(name)
