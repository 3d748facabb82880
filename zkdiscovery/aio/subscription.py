"""Users' callbacks on an event loop: in order, one at a time, one waiting value per subscription.

Threads: the client's dispatcher hands values over; the loop on which the subscription was made calls the function.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Self, TypeVar

from zkdiscovery.threads import Subscription

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.callbacks")


class AsyncSubscription(Generic[T]):
    """A callback that is registered; leaving `with`, or `close()`, ends it.

    Args:
        subscribe: subscribes a plain function, which the dispatcher calls.
        fn: the function of the user, plain or `async def`.
        merge: `merge(earlier, later)` makes one of two values that wait.
    """

    def __init__(
        self,
        subscribe: Callable[[Callable[[T], object]], Subscription[T]],
        fn: Callable[[T], object],
        merge: Callable[[T, T], T],
    ) -> None:
        if not callable(fn):
            raise TypeError(f"a callback must be callable, not {type(fn).__name__}")
        self._loop = asyncio.get_running_loop()
        self._fn = fn
        self._merge = merge
        self._lock = threading.Lock()
        self._waiting: list[T] = []  # at most one
        self._task: asyncio.Task[None] | None = None  # used on the loop
        self._subscription = subscribe(self._take)

    @property
    def closed(self) -> bool:
        """True once no further call will begin."""
        return self._subscription.closed

    def close(self) -> None:
        """End it: no value is taken any more. A call that runs goes on. Idempotent; any thread may call it."""
        self._subscription.close()
        with self._lock:
            self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        name = getattr(self._fn, "__qualname__", None) or repr(self._fn)
        return f"<AsyncSubscription {name} {'closed' if self.closed else 'active'}>"

    def _take(self, value: T) -> None:
        """Let the function see `value`, merged with what waits for it already (dispatcher)."""
        with self._lock:
            first = not self._waiting
            self._waiting = [value if first else self._merge(self._waiting[0], value)]
        if first:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self._begin)
        if self._loop.is_closed():  # the function can't run any more, though a value may have waited before
            self.close()

    def _begin(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._run())
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled() and task.cancelling():  # by the end of the loop
            self.close()
        with self._lock:
            more = bool(self._waiting)
        if more and not self._loop.is_closed():
            self._begin()

    async def _run(self) -> None:
        while True:
            with self._lock:
                if self.closed:  # by its subject, as when a view closes
                    self._waiting.clear()
                if not self._waiting:
                    return
                value = self._waiting.pop()
            try:
                result = self._fn(value)
                if inspect.isawaitable(result):
                    await result
            except Exception:
                log.exception("the callback %r raised; it stays subscribed", self)
