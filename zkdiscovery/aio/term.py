"""A term of leadership on an event loop, and the task that a loss cancels."""

from __future__ import annotations

import asyncio
from typing import Self

from zkdiscovery.aio.waiting import take_steps
from zkdiscovery.election import BaseTerm
from zkdiscovery.errors import HoldLost
from zkdiscovery.znodes import BaseHold


class AsyncHold(BaseHold):
    """A hold on an event loop."""

    released = False
    """True once this process has released it."""

    async def wait_lost(self, timeout: float | None) -> bool:
        """Wait until the hold is over, at most `timeout` seconds, None: without limit; True if it is over.

        There is no default, because a caller who ignores the result must not take a timeout for the end of the hold.
        """
        return await take_steps(self._losing(timeout))

    def release(self) -> None:
        """End the hold and let the next one in the queue follow. Never blocks; idempotent. Cancels no task."""
        self.released = True
        super().release()


class AsyncTerm(BaseTerm, AsyncHold):
    """One leadership: the hold of an election, from winning it to its loss or resignation."""


class CancelWhenLost:
    """Cancels the task of an `async with` block when a hold is lost, and raises HoldLost out of the block then.

    Works like `asyncio.timeout`: a cancellation from elsewhere stays one. A hold that the block itself gives up, by
    `release()` or by closing, cancels nothing.
    """

    def __init__(self, hold: AsyncHold) -> None:
        self._hold = hold
        self._armed = True
        self._fired = False

    def disarm(self) -> None:
        """Let the block go on whatever becomes of the hold."""
        self._armed = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a hold needs a task, which a loss can cancel")
        self._task = task
        self._cancelled_before = task.cancelling()
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        self._armed = False
        self._watcher.cancel()
        if not self._fired:
            return
        if self._task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            try:
                self._hold.check()
            except HoldLost as lost:
                raise lost from error

    async def _watch(self) -> None:
        await asyncio.sleep(0)  # an eager task begins inside the task of the block, which can't cancel itself
        await self._hold.wait_lost(None)
        if self._armed and not self._hold.released:
            self._fired = True
            self._task.cancel()
