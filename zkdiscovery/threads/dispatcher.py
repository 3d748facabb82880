"""Users' callbacks: one thread, one waiting value per subscription.

A callback that blocks delays the other callbacks of its client and nothing else: what comes meanwhile is merged into
one value per subscription, so memory stays bounded. One that raises is logged. Callbacks may call anything, `close()`
included.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from zkdiscovery.validation import check_function, refuse_coroutine

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.callbacks")


class Subscription(Generic[T]):
    """A callback that is registered; leaving `with`, or `close()`, ends it."""

    def __init__(self, dispatcher: Dispatcher, fn: Callable[[T], object], merge: Callable[[T, T], T]) -> None:
        self._dispatcher = dispatcher
        self._fn = fn
        self._merge = merge
        self._waiting: list[T] = []  # at most one
        self._closed = False

    @property
    def closed(self) -> bool:
        """True once no further call will begin."""
        return self._closed

    def close(self) -> None:
        """No further call begins after this returns; one that runs goes on."""
        self._dispatcher._close(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        name = getattr(self._fn, "__qualname__", repr(self._fn))
        return f"<Subscription {name} {'closed' if self._closed else 'active'}>"


class Dispatcher:
    """The thread that runs users' callbacks; it starts with the first value."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ready = threading.Condition()
        self._queue: deque[Subscription[Any]] = deque()  # each at most once
        self._thread: threading.Thread | None = None
        self._closed = False

    def subscribe(self, fn: Callable[[T], object], merge: Callable[[T, T], T]) -> Subscription[T]:
        """Register a callback; `merge(earlier, later)` makes one of two values that wait.

        Raises:
            TypeError: `fn` is no callable, or a coroutine or generator function.
        """
        check_function(fn, "a callback")
        return Subscription(self, fn, merge)

    def offer(self, subscription: Subscription[T], value: T) -> None:
        """Let the callback see `value`, merged with what waits already. Never blocks."""
        with self._ready:
            if self._closed or subscription._closed:
                return
            if subscription._waiting:
                subscription._waiting[0] = subscription._merge(subscription._waiting[0], value)
            else:
                subscription._waiting.append(value)
                self._queue.append(subscription)
            if self._thread is None:
                self._start()
            self._ready.notify()

    def close(self, timeout: float) -> bool:
        """Deliver what waits, then end, within `timeout` seconds.

        Returns:
            True if the thread has ended, or is the calling one; False if a callback still runs.
        """
        with self._ready:
            self._closed = True
            thread = self._thread
            self._ready.notify()
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(max(0.0, timeout))
        return not thread.is_alive()

    def forked(self) -> None:
        """In a forked child: as new; the subscriptions stay."""
        self._ready = threading.Condition()
        for subscription in self._queue:
            subscription._waiting.clear()
        self._queue.clear()
        self._thread = None

    def _start(self) -> None:
        """Start the thread. Where there is none to be had, callbacks wait: nothing else must fail because of them."""
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # From Python 3.12 on this is usual while the interpreter ends.
            level = logging.WARNING if threading.main_thread().is_alive() else logging.DEBUG
            log.log(level, "callbacks wait for the next news, because no thread can be started: %s", error)
        else:
            self._thread = thread

    def _close(self, subscription: Subscription[Any]) -> None:
        with self._ready:
            subscription._closed = True
            subscription._waiting.clear()

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._queue:
                    if self._closed:
                        return
                    self._ready.wait()
                subscription = self._queue.popleft()
                if not subscription._waiting:
                    continue
                value = subscription._waiting.pop()
            try:
                refuse_coroutine(subscription._fn(value), "a callback")
            except BaseException:  # sys.exit() in one must not end the others
                log.exception("the callback %r raised; it stays subscribed", subscription)
            del subscription, value
