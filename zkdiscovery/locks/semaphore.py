"""Semaphores: a lock that up to a limit hold at once. The limit is stored; see leases.py for how one is held."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from zkdiscovery.core import CoreSlot
from zkdiscovery.locks.base import BaseLock, Outcome, leave
from zkdiscovery.locks.limit import Limit, check_limit
from zkdiscovery.locks.lock import Lock
from zkdiscovery.locks.locks import Locks, Standing
from zkdiscovery.locks.names import Kind
from zkdiscovery.locks.place import Place
from zkdiscovery.threads import Steps
from zkdiscovery.validation import check_timeout
from zkdiscovery.znodes import BaseHold, Hold, Paths

H = TypeVar("H", bound=BaseHold)


class BaseSemaphore(BaseLock[H]):
    """The part of a semaphore that the sync and the async one share."""

    def __init__(self, name: str, limit: int | None, slot: CoreSlot) -> None:
        if limit is not None:
            check_limit(limit)
        Paths("").semaphore(name)
        self._limit = limit
        super().__init__(
            f"the semaphore {name!r}", lambda core: core.paths.semaphore(name), Kind.LEASE, "curator", slot
        )

    def _taking_place(self, timeout: float, end: float, *, wait: bool) -> Steps[Place[H] | None]:
        while True:
            root = self._parent(self._slot.current())
            limit = Limit(root, self._limit)
            gate = self._new_place(f"{root}/locks", Kind.GATE, limit)
            outcome = yield from self._wait_for(gate, timeout, end, wait=wait)
            if outcome is Outcome.HELD:
                try:
                    self._place = place = self._new_place(f"{root}/leases", Kind.LEASE, limit)
                    outcome = yield from self._wait_for(place, timeout, end, wait=wait)
                finally:
                    gate.release()
                if outcome is Outcome.HELD:
                    return place
                yield from leave(gate)
            if outcome is Outcome.BEHIND:
                return None

    def _contenders(self, timeout: float) -> Standing:
        core = self._slot.current()
        return core.feature(Locks).semaphore_contenders(self._parent(core), timeout)

    def _storing(self, limit: int, timeout: float | None) -> Callable[[], None]:
        """Check another limit. Return what stores it, which blocks."""
        check_limit(limit)
        seconds, core = check_timeout(timeout), self._slot.current()

        def store() -> None:
            core.feature(Locks).set_limit(self._parent(core), limit, seconds)
            self._limit = limit

        return store


class Semaphore(BaseSemaphore[Hold], Lock):
    """A lock that up to a limit hold at once, made by `Client.semaphore`. Nothing is sent before the first use.

    Everything else is as of a `Lock`. Fences are unique, and in no order, because several hold it at once. `hold`,
    `acquire` and `try_acquire` also raise InvalidSettings if another limit is stored, or none and none is given.
    """

    def set_limit(self, limit: int, timeout: float | None = 5.0) -> None:
        """Change the limit for all. Those who hold it keep it, even if a lower limit is exceeded for that time.

        Objects that were made with another limit raise from then on; those without a limit follow.

        Raises:
            InvalidSettings: no limit.
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        self._storing(limit, timeout)()
