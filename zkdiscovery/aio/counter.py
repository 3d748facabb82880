"""Counters on an event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from zkdiscovery.aio.operations import Operations
from zkdiscovery.core import Core
from zkdiscovery.locks import BaseCounter, Compute, adding, check_guard, done, setting
from zkdiscovery.validation import check_timeout
from zkdiscovery.znodes import BaseHold

T = TypeVar("T")


class AsyncCounter(BaseCounter):
    """A whole number of 64 bits that all processes share, made by `AsyncClient.counter`. Nothing is sent before the
    first use.

    Each change is made exactly once, even if its answer is lost. A change whose wait is cancelled may have been made.

    Attributes:
        name: of the counter.
    """

    async def value(self, timeout: float | None = 5.0) -> int:
        """Return the value after all changes that were made before; 0 of a counter that nobody has changed.

        Raises:
            UndecodableNode: what the node holds is no such number.
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        seconds = check_timeout(timeout)
        return await self._run(lambda core: self._read(core, seconds))

    async def add(self, amount: int = 1, *, guard: BaseHold | None = None, timeout: float | None = 5.0) -> int:
        """Add to the value; return the value right after that.

        Args:
            amount: what to add, which may be negative.
            guard: a hold of a lock, or a term. ZooKeeper refuses the change once that hold is over.
            timeout: seconds.

        Raises:
            HoldLost: the hold is over, and nothing was changed. A term raises the subclass LeadershipLost.
            CounterOverflow: the sum does not fit into 64 bits; nothing was changed.
            InvalidSettings: the amount is no whole number of 64 bits.
            UndecodableNode: what the node holds is no such number.
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused. The value is
                unchanged, unless the error has `outcome_unknown`: then it may have been changed, once.
        """
        return done(await self._changed(adding(amount), guard, timeout))

    async def set(self, value: int, *, guard: BaseHold | None = None, timeout: float | None = 5.0) -> None:
        """Replace the value. For the arguments, and what it raises, see `add`."""
        await self._changed(setting(value), guard, timeout)

    async def compare_and_set(
        self, expected: int, value: int, *, guard: BaseHold | None = None, timeout: float | None = 5.0
    ) -> bool:
        """Replace the value if it is `expected`. True if it was. For the arguments, and what it raises, see `add`."""
        return await self._changed(setting(value, expected), guard, timeout) is not None

    async def _changed(self, compute: Compute, guard: BaseHold | None, timeout: float | None) -> int | None:
        seconds, guard = check_timeout(timeout), check_guard(guard)
        return await self._run(lambda core: self._change(core, compute, guard, seconds))

    async def _run(self, work: Callable[[Core], T]) -> T:
        core = self._slot.current()
        return await core.feature(Operations).run(lambda: work(core))
