"""Take the steps of an operation on an event loop; see threads/waiting.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from zkdiscovery.lifecycle import signals_pending
from zkdiscovery.threads import Monitor, Steps, Until

T = TypeVar("T")

LONGEST = 86_400.0  # seconds of one timer; the loop's clock may refuse longer ones
SIGNALS_POLL = 0.05  # seconds between two looks whether signals have had their turn


async def take_steps(steps: Steps[T]) -> T:
    """Take the steps of an operation; return what it returns. Cancelling raises CancelledError in the steps."""
    go_on: Callable[[], Until] = partial(next, steps)
    try:
        while True:
            wait = go_on()
            try:
                held = await _until(wait)
            except BaseException as error:  # noqa: BLE001 - the steps raise it again
                go_on = partial(steps.throw, error)
            else:
                go_on = partial(steps.send, held)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        del go_on  # because an error in it refers to this frame


async def await_signals() -> None:
    """Wait for the signals that are ending the clients, as on threads, while the loop goes on."""
    while signals_pending():  # noqa: ASYNC110 - signal handlers tell a lock, which may be released at any point
        await asyncio.sleep(SIGNALS_POLL)


async def _until(wait: Until) -> bool:
    """Wait until the condition holds, at most until the deadline; True if it holds."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    waker = _Waker(changed)
    monitors = [monitor for monitor in (wait.monitor, wait.also) if monitor is not None]
    for monitor in monitors:
        monitor.add_waker(waker)
    try:
        while not _holds(wait.monitor, wait.condition):
            left = wait.deadline - time.monotonic()
            if left <= 0:
                return False
            # Not asyncio.timeout(): before Python 3.11.3 it cancels a task that cleans up after it was cancelled.
            timer = loop.call_later(min(left, LONGEST), changed.set)
            try:
                await changed.wait()
            finally:
                timer.cancel()
            changed.clear()
            waker.called = False
        return True
    finally:
        for monitor in monitors:
            monitor.remove_waker(waker)


def _holds(monitor: Monitor, condition: Callable[[], object]) -> bool:
    with monitor:
        return bool(condition())


class _Waker:
    """Sets an event of a loop from any thread; once, until `called` is cleared."""

    def __init__(self, event: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = event
        self.called = False

    def __call__(self) -> None:
        if not self.called:
            self.called = True
            with suppress(RuntimeError):  # the loop was closed meanwhile, so nobody waits
                self._loop.call_soon_threadsafe(self._event.set)
