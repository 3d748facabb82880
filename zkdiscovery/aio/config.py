"""A live configuration on an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Self, TypeVar

from zkdiscovery.aio.functions import check_callable
from zkdiscovery.aio.subscription import AsyncSubscription
from zkdiscovery.aio.waiting import await_signals, take_steps
from zkdiscovery.config import BaseConfig, ConfigChange, unless_empty

M = TypeVar("M")


class AsyncConfig(BaseConfig[M]):
    """A live, typed configuration, made by `AsyncClient.config`.

    `value`, `source`, `revisions`, `rejected` and `stale` read memory: they never wait for ZooKeeper or for a lock.
    While ZooKeeper can't be reached the last good value stays, and `stale` says so.

    Attributes:
        name: of the configuration.
    """

    async def wait_ready(self, timeout: float | None = 10.0) -> Self:
        """Wait until there is a value.

        With a fallback file that has one, it waits for ZooKeeper half a second at most.

        Raises:
            InvalidDocument: the model refuses what is stored, and there is no value from before.
            NotConnected: there is none within `timeout` seconds; says why.
            AuthenticationFailed, UnsupportedServer, ClientClosed: there will be none.
        """
        return await take_steps(self._loading(timeout))

    def on_change(self, fn: Callable[[ConfigChange[M]], object]) -> AsyncSubscription[ConfigChange[M]]:
        """Call `fn(change)`, which may be `async def`, on this loop for each change; the present value comes first.

        Changes that come while `fn` runs are merged into one.

        Raises:
            TypeError: `fn` can't be called.
            RuntimeError: no event loop runs.
            ClientClosed: the configuration or the client was closed.
        """
        check_callable(fn, "a callback")
        return AsyncSubscription(self._subscribe, unless_empty(fn), ConfigChange.then)

    async def changes(self, timeout: float | None = None) -> AsyncIterator[ConfigChange[M]]:
        """Yield each change; the present value comes first. Ends when the configuration or the client closes.

        Args:
            timeout: seconds to wait for one change, after which the loop ends; None: for ever.
        """
        with self._mailbox() as waiting:
            while (change := await take_steps(self._changing(waiting, timeout))) is not None:
                yield change
        await await_signals()

    async def aclose(self) -> None:
        """Stop following. The last value stays readable, as stale. Never waits; idempotent."""
        self.stop_following()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
