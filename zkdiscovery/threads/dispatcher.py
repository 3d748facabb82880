"""Users' callbacks: one thread, one waiting value per subscription.

A callback that blocks delays the other callbacks of its client and nothing else: values that arrive meanwhile are
merged into one per subscription, so memory stays bounded. One that raises is logged. Callbacks may call anything,
`close()` included.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, Self, TypeVar

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.threads.start import start_thread
from zkdiscovery.validation import check_function, refuse_coroutine

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.callbacks")


def latest(_earlier: T, later: T) -> T:
    """Merge two values where only the latest one counts."""
    return later


class _Callback(Generic[T]):
    """One subscribed function. The dispatcher's lock guards `waiting` and `closed`."""

    __slots__ = ("closed", "fn", "merge", "waiting")

    def __init__(self, fn: Callable[[T], object], merge: Callable[[T, T], T]) -> None:
        self.fn = fn
        self.merge = merge
        self.waiting: list[T] = []  # at most one
        self.closed = False

    def __repr__(self) -> str:
        return getattr(self.fn, "__qualname__", None) or repr(self.fn)


class Subscription(Generic[T]):
    """A callback that is registered; leaving `with`, or `close()`, ends it."""

    def __init__(self, callback: _Callback[T], close: Callable[[Iterable[_Callback[T]]], None]) -> None:
        self._callback = callback
        self._close = close

    @property
    def closed(self) -> bool:
        """True once no further call will begin."""
        return self._callback.closed

    def close(self) -> None:
        """End it: no value is taken any more. A call that runs, or is about to begin, goes on. Idempotent."""
        self._close([self._callback])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription {self._callback} {'closed' if self.closed else 'active'}>"


class Subscribers(Generic[T]):
    """The open subscriptions to one subject; true while there is one.

    Any thread may call any method. None of them blocks, so an owner may call `subscribe` and `offer` under a lock of
    its own: then a subscription gets its first value and all later ones, and no value twice.

    Args:
        dispatcher: runs the callbacks.
        merge: `merge(earlier, later)` makes one of two values that wait.
        on_first: called without a lock of this class when the number of open subscriptions becomes 1.
        on_last: called without a lock of this class when that number becomes 0. Calls of `on_first` and `on_last` on
            two threads may overtake each other: read the truth of this object again, under a lock of your own.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        merge: Callable[[T, T], T],
        *,
        on_first: Callable[[], object] | None = None,
        on_last: Callable[[], object] | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._merge = merge
        self._on_first = on_first
        self._on_last = on_last
        self._open: dict[_Callback[T], None] = {}  # guarded by the dispatcher's lock, which a fork replaces

    def __bool__(self) -> bool:
        return bool(self._open)

    def subscribe(self, fn: Callable[[T], object], *first: T) -> Subscription[T]:
        """Register a callback. It gets the value `first`, if one is given, before all that is offered from now on.

        Raises:
            TypeError: `fn` is no callable, or a coroutine or generator function.
        """
        check_function(fn, "a callback")
        callback = _Callback(fn, self._merge)
        with self._dispatcher.ready:
            alone = not self._open
            self._open[callback] = None
            for value in first:
                self._dispatcher.put((callback,), value)
        if alone and self._on_first is not None:
            self._on_first()
        return Subscription(callback, self._end)

    def offer(self, value: T) -> None:
        """Let each callback see `value`, merged with what waits for it already."""
        if self._open:
            with self._dispatcher.ready:
                self._dispatcher.put(tuple(self._open), value)

    def close(self) -> None:
        """Close the subscriptions that are open now."""
        self._end(tuple(self._open))

    def _end(self, callbacks: Iterable[_Callback[T]]) -> None:
        with self._dispatcher.ready:
            before = bool(self._open)
            for callback in callbacks:
                callback.closed = True
                callback.waiting.clear()
                self._open.pop(callback, None)
            last = before and not self._open
        if last and self._on_last is not None:
            self._on_last()


class Dispatcher:
    """The thread that runs users' callbacks; it starts with the first value.

    Attributes:
        ready: the lock of all callbacks; notified when one has a value.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.ready = threading.Condition()
        self._queue: deque[_Callback[Any]] = deque()  # each at most once
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, callbacks: Iterable[_Callback[T]], value: T) -> None:
        """Let these callbacks see `value`. Call it with the lock held. Never blocks."""
        if self._closed:
            return
        for callback in callbacks:
            if callback.waiting:
                callback.waiting[0] = callback.merge(callback.waiting[0], value)
            else:
                self._queue.append(callback)  # first: at any moment, what waits is in the queue, also in a fork
                callback.waiting.append(value)
        if self._thread is None:
            self._start()
        self.ready.notify()

    def close(self, timeout: float) -> bool:
        """Deliver what waits, then end, within `timeout` seconds.

        Returns:
            True if the thread has ended, or is the calling one; False if a callback still runs.
        """
        with self.ready:
            self._closed = True
            thread = self._thread
            self.ready.notify()
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(max(0.0, timeout))
        return not thread.is_alive()

    def forked(self) -> None:
        """Be as new in a forked child; the subscriptions stay.

        What waits where only the latest value counts is dropped, because the child has news of its own. Of other
        subjects it is a part of the whole, and is told with the next value.
        """
        self.ready = threading.Condition()
        for callback in self._queue:
            if callback.merge is latest:
                callback.waiting.clear()
        self._queue = deque(callback for callback in self._queue if callback.waiting)
        self._thread = None

    def _start(self) -> None:
        """Start the thread. If there is none to be had, callbacks wait: nothing else must fail because of them."""
        try:
            self._thread = start_thread(self._run, self._name)
        except NoThreadAvailable as error:
            # From Python 3.12 on this is usual while the interpreter ends.
            level = logging.WARNING if threading.main_thread().is_alive() else logging.DEBUG
            log.log(level, "callbacks wait for the next news: %s", error)

    def _run(self) -> None:
        while True:
            with self.ready:
                while not self._queue:
                    if self._closed:
                        return
                    self.ready.wait()
                callback = self._queue[0]
                if not callback.waiting:
                    self._queue.popleft()
                    continue
                value = callback.waiting.pop()
                self._queue.popleft()
            try:
                refuse_coroutine(callback.fn(value), "a callback")
            except BaseException:  # sys.exit() in one must not end the others
                log.exception("the callback %r raised; it stays subscribed", callback)
            del callback, value
