"""A shared number that each change changes exactly once."""

from __future__ import annotations

from collections.abc import Callable

from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.locks.counters import LARGEST, LEAST, Counters
from zkdiscovery.validation import check_timeout, check_whole
from zkdiscovery.znodes import BaseHold, Paths

Compute = Callable[[int], int | None]


class BaseCounter:
    """The part of a counter that the sync and the async one share. Nothing is sent before the first use."""

    def __init__(self, name: str, slot: CoreSlot) -> None:
        Paths("").counter(name)
        self.name = name
        self._title = f"the counter {name!r}"
        self._slot = slot

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __reduce__(self) -> str:
        raise TypeError("a counter holds a connection and can't be pickled; call counter() in the other process")

    def _read(self, core: Core, timeout: float) -> int:
        """Read the value; blocks."""
        return core.feature(Counters).value(core.paths.counter(self.name), timeout)

    def _change(self, core: Core, compute: Compute, guard: BaseHold | None, timeout: float) -> int | None:
        """Change the value; blocks. Raises as `Counters.change`."""
        return core.feature(Counters).change(core.paths.counter(self.name), self._title, compute, guard, timeout)


class Counter(BaseCounter):
    """A whole number of 64 bits that all processes share, made by `Client.counter`. Nothing is sent before the first
    use.

    Each change is made exactly once, even if its answer is lost. The number stands in a persistent node.

    Attributes:
        name: of the counter.
    """

    def value(self, timeout: float | None = 5.0) -> int:
        """Return the value after all changes that were made before; 0 of a counter that nobody has changed.

        Raises:
            UndecodableNode: what the node holds is no such number.
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self._read(self._slot.current(), check_timeout(timeout))

    def add(self, amount: int = 1, *, guard: BaseHold | None = None, timeout: float | None = 5.0) -> int:
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
        return done(self._change(self._slot.current(), adding(amount), check_guard(guard), check_timeout(timeout)))

    def set(self, value: int, *, guard: BaseHold | None = None, timeout: float | None = 5.0) -> None:
        """Replace the value. For the arguments, and what it raises, see `add`."""
        self._change(self._slot.current(), setting(value), check_guard(guard), check_timeout(timeout))

    def compare_and_set(
        self, expected: int, value: int, *, guard: BaseHold | None = None, timeout: float | None = 5.0
    ) -> bool:
        """Replace the value if it is `expected`. True if it was. For the arguments, and what it raises, see `add`."""
        compute = setting(value, expected)
        return self._change(self._slot.current(), compute, check_guard(guard), check_timeout(timeout)) is not None


def adding(amount: int) -> Compute:
    """Return what adds. Raises InvalidSettings."""
    check_whole(amount, "what is added to a counter", LEAST, LARGEST)
    return lambda value: value + amount


def setting(value: int, expected: int | None = None) -> Compute:
    """Return what replaces the value, or only the one that is expected. Raises InvalidSettings."""
    check_whole(value, "the value of a counter", LEAST, LARGEST)
    return lambda present: value if expected in {None, present} else None


def check_guard(guard: BaseHold | None) -> BaseHold | None:
    """Return a guard; raise TypeError if it is no hold."""
    if guard is not None and not isinstance(guard, BaseHold):
        raise TypeError(f"guard must be a hold or a term, such as lock.acquire() returns: got {type(guard).__name__}")
    return guard


def done(value: int | None) -> int:
    """Return the value after a change that is made whatever the value was."""
    if value is None:
        raise AssertionError("the change was made, and there is no value")
    return value
