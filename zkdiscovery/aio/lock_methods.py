"""The methods of an async client that make locks. No logic of its own."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from zkdiscovery.aio.barrier import AsyncBarrier
from zkdiscovery.aio.counter import AsyncCounter
from zkdiscovery.aio.functions import awaitable, check_callable
from zkdiscovery.aio.lock import AsyncLock, AsyncReadWriteLock
from zkdiscovery.aio.semaphore import AsyncSemaphore
from zkdiscovery.core import CoreSlot
from zkdiscovery.locks import WAIT, Kind, Layout, check_layout, lock_queue
from zkdiscovery.validation import check_timeout, require_name

P = ParamSpec("P")
R = TypeVar("R")


class AsyncLockMethods:
    """The part of `AsyncClient` that makes locks."""

    @property
    def slot(self) -> CoreSlot:
        """The slot that holds the core."""
        raise NotImplementedError

    def lock(self, name: str, *, layout: Layout = "curator") -> AsyncLock:
        """A lock that one process, thread or task holds at a time. Nothing is sent yet. See `Client.lock`."""
        self.slot.require_undrained()
        check_layout(layout)
        return AsyncLock(f"the lock {name!r}", lock_queue(name), Kind.LOCK, layout, self.slot)

    def read_write_lock(self, name: str, *, layout: Layout = "curator") -> AsyncReadWriteLock:
        """A lock that many readers hold at once, or one writer alone. See `Client.read_write_lock`."""
        self.slot.require_undrained()
        check_layout(layout)
        return AsyncReadWriteLock(name, layout, self.slot)

    def semaphore(self, name: str, limit: int | None = None) -> AsyncSemaphore:
        """A lock that up to `limit` processes, threads or tasks hold at once. See `Client.semaphore`."""
        self.slot.require_undrained()
        return AsyncSemaphore(name, limit, self.slot)

    def barrier(self, name: str, parties: int) -> AsyncBarrier:
        """A barrier that opens once `parties` parties wait at it. See `Client.barrier`."""
        self.slot.require_undrained()
        return AsyncBarrier(name, parties, self.slot)

    def counter(self, name: str) -> AsyncCounter:
        """A whole number that all processes share. See `Client.counter`."""
        return AsyncCounter(name, self.slot)

    def locked(self, name: str, *, timeout: float | None = WAIT, skip_if_held: bool = False) -> LockedDecorator:
        """Decorate an `async def` that runs while this process holds a lock; a loss cancels it.

        For the arguments see `Client.locked`.

        Raises:
            TypeError: at decoration, for what is no function; at the call, if what it returns can't be awaited.
            InvalidName, InvalidSettings: no name for a lock, or no time.
        """
        require_name(name, "locked")
        lock_queue(name)
        return LockedDecorator(lambda: self.lock(name), timeout, skip_if_held=skip_if_held)


class LockedDecorator:
    """The decorator of `client.locked(...)`, for `async def` with any arguments."""

    def __init__(self, lock: Callable[[], AsyncLock], timeout: float | None, *, skip_if_held: bool) -> None:
        check_timeout(timeout)
        self._lock = lock
        self._timeout = timeout
        self._skip = skip_if_held

    def __call__(self, fn: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R | None]]:
        check_callable(fn, "what is decorated")

        @functools.wraps(fn)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | None:
            lock = self._lock()  # of this call, because several tasks may call
            async with lock.hold_if_free(self._timeout) if self._skip else lock.hold(self._timeout) as hold:
                if hold is None:
                    return None
                result: R = await awaitable(fn(*args, **kwargs), "what is decorated", fn)
                return result

        return wrapper
