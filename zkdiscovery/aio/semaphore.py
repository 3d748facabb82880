"""Semaphores on an event loop."""

from __future__ import annotations

from zkdiscovery.aio.lock import AsyncLock
from zkdiscovery.aio.operations import Operations
from zkdiscovery.aio.term import AsyncHold
from zkdiscovery.locks import BaseSemaphore


class AsyncSemaphore(BaseSemaphore[AsyncHold], AsyncLock):
    """A lock that up to a limit hold at once, made by `AsyncClient.semaphore`. Nothing is sent before the first use.

    Everything else is as of an `AsyncLock`. Fences are unique, and in no order, because several hold it at once.
    `hold`, `acquire` and `try_acquire` also raise InvalidSettings if another limit is stored, or none and none is
    given.
    """

    async def set_limit(self, limit: int, timeout: float | None = 5.0) -> None:
        """Change the limit for all. Those who hold it keep it, even if a lower limit is exceeded for that time.

        Objects that were made with another limit raise from then on; those without a limit follow.

        Raises:
            InvalidSettings: no limit.
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        await self._slot.current().feature(Operations).run(self._storing(limit, timeout))
