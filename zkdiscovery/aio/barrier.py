"""Barriers on an event loop."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from zkdiscovery.aio.waiting import take_steps
from zkdiscovery.locks import WAIT, BaseBarrier


class AsyncBarrier(BaseBarrier):
    """A barrier that a group of parties enters together and leaves together, made by `AsyncClient.barrier`. Nothing is
    sent before the first use.

    An object is one party: each task needs an object of its own. `async with barrier:` enters and leaves; a block that
    raises leaves and waits for nobody. Cancelling a wait leaves the barrier.

    Attributes:
        name: of the barrier.
        parties: how many make a group.
    """

    async def enter(self, timeout: float | None = WAIT) -> None:
        """Wait until as many parties have entered as make a group.

        Args:
            timeout: seconds to wait; None: without limit.

        Raises:
            OperationTimeout: too few came in time; this party waits no more.
            HoldLost: the session ended; the others may have begun without this party.
            InvalidSettings: the parties that wait give another number, or no time.
            ClientClosed: the client was drained or closed.
            RuntimeError: this object has entered, or waits.
        """
        await take_steps(self._entering(timeout))

    async def leave(self, timeout: float | None = WAIT) -> None:
        """Leave, and wait until all others of the group have left.

        Args:
            timeout: seconds to wait; None: without limit.

        Raises:
            OperationTimeout: others did not leave in time; this party has left.
            HoldLost: the session ended before, so the others did not wait for this party; or the client was closed.
            InvalidSettings: no time.
            RuntimeError: this object has not entered.
        """
        await take_steps(self._leaving(timeout))

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await take_steps(self._ending(failed=kind is not None))
