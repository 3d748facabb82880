"""A view of one service on an event loop. Picks read memory only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, Self, TypeVar, overload

from zkdiscovery.aio.calls import AsyncCall
from zkdiscovery.aio.functions import check_callable
from zkdiscovery.aio.subscription import AsyncSubscription
from zkdiscovery.aio.waiting import await_signals, take_steps
from zkdiscovery.discovery import BaseService
from zkdiscovery.model import Change, Instance

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class TimedAsyncCall(Protocol[R_co]):
    """A function for `AsyncService.call` that takes the seconds that are left for it."""

    def __call__(self, instance: Instance, /, *, timeout: float) -> Awaitable[R_co]: ...


class AsyncService(BaseService):
    """A live view of a service, made by `AsyncClient.discover`.

    `pick`, `attempt`, `instances`, `available` and `snapshot` are plain calls: they read memory, and never wait for
    ZooKeeper or for a lock. What is not awaited may be called from any thread.
    """

    @overload
    async def call(
        self,
        fn: Callable[[Instance], Awaitable[R]],
        *,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        key: str | None = None,
        attempts: int = 3,
        timeout: float | None = 30.0,
        hedge: float | None = None,
    ) -> R: ...
    @overload
    async def call(
        self,
        fn: TimedAsyncCall[R],
        *,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        key: str | None = None,
        attempts: int = 3,
        timeout: float = 30.0,
        hedge: float | None = None,
    ) -> R: ...
    async def call(
        self,
        fn: Callable[..., Awaitable[R]],
        *,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        key: str | None = None,
        attempts: int = 3,
        timeout: float | None = 30.0,
        hedge: float | None = None,
    ) -> R:
        """Await `fn(instance)`; on an exception of `retry_on` again with another instance.

        Retries and hedges in all are bounded to a fifth of the calls and 10 more.

        Args:
            fn: `async def`, called with the instance picked. If it has a parameter `timeout`, it gets the seconds that
                are left, `fn(instance, timeout=…)`, but never more than that one's default.
            retry_on: exceptions after which another instance may be tried: only where repeating is safe.
            key: see `pick`.
            attempts: calls of `fn` at most, 1 or more.
            timeout: seconds for everything. When they are over, `fn` is cancelled, which counts as a failure of the
                instance; None: no limit.
            hedge: seconds without an answer after which another instance is asked as well; the first good answer
                counts and cancels the other. Only where calling twice is safe; choose the 95th percentile of the
                answer time or more. None: never.

        Raises:
            NoInstanceAvailable: nothing to call; says why.
            TypeError: what `fn` returns can't be awaited.
            OperationTimeout: not answered within `timeout`.
            Exception: what `fn` raised last, with a note that tells what was tried where.
        """
        check_callable(fn, "what is called")
        call, first = self._calling(AsyncCall, fn, retry_on, key, attempts, timeout, hedge)
        return await call.run(first)  # type: ignore[no-any-return]  # what `fn` returns

    async def wait_ready(self, timeout: float | None = 10.0, at_least: int = 1) -> Self:
        """Wait until the service is loaded and at least `at_least` instances can be picked.

        Raises:
            NoInstanceAvailable: not within `timeout` seconds; says why.
            AuthenticationFailed, UnsupportedServer, ClientClosed: it can't be.
        """
        return await take_steps(self._loading(timeout, at_least))

    def on_change(self, fn: Callable[[Change], object]) -> AsyncSubscription[Change]:
        """Call `fn(change)`, which may be `async def`, on this loop for each change; what is known already comes first,
        as added.

        Changes that come while `fn` runs are merged into one.

        Raises:
            TypeError: `fn` can't be called.
            RuntimeError: no event loop runs.
            ClientClosed: the view or the client was closed.
        """
        return AsyncSubscription(self._subscribe, fn, Change.then)

    async def changes(self, timeout: float | None = None) -> AsyncIterator[Change]:
        """Yield each change; what is known already comes first, as added. Ends when the view or the client closes.

        Args:
            timeout: seconds to wait for one change, after which the loop ends; None: for ever.
        """
        with self._mailbox() as waiting:
            while (change := await take_steps(self._changing(waiting, timeout))) is not None:
                yield change
        await await_signals()

    async def aclose(self) -> None:
        """Stop following. Picks raise ClientClosed; the last snapshot stays readable, as stale.

        Never waits; idempotent.
        """
        self.stop_following()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
