"""The handle of a registered instance on an event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from zkdiscovery.aio.subscription import AsyncSubscription
from zkdiscovery.aio.waiting import take_steps
from zkdiscovery.lifecycle import leaving
from zkdiscovery.registration import CLOSE_TIMEOUT, BaseRegistration
from zkdiscovery.threads import latest


class AsyncRegistration(BaseRegistration):
    """An instance that stays registered until it is closed; made by `AsyncClient.register`. `async with` closes it.

    What is not awaited may be called from any thread.
    """

    def on_change(self, fn: Callable[[Self], object]) -> AsyncSubscription[Self]:
        """Call `fn(registration)`, which may be `async def`, on this loop when its state or error changed.

        Raises:
            TypeError: `fn` can't be called.
            RuntimeError: no event loop runs.
        """
        return AsyncSubscription(self._subscribers.subscribe, fn, latest)

    async def wait_registered(self, timeout: float | None = 10.0) -> Self:
        """Wait until what was wanted last stands in ZooKeeper. Raises as `Registration.wait_registered`."""
        return await take_steps(self._registering(timeout))

    async def drain(self, delay: float | None = None, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """Write DRAINING, wait `delay` seconds so that calls under way can end, then deregister.

        Where it is cancelled, the instance is deregistered at once. For the arguments see `Registration.drain`.

        Raises:
            InvalidInstance: a delay out of range.
            InvalidSettings: no time limit.
        """
        await take_steps(self._draining(delay, timeout))

    async def aclose(self, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """`drain()` with the delay given at registration; idempotent."""
        await self.drain(timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        with leaving(CLOSE_TIMEOUT) as limit:
            await self.aclose(limit)
