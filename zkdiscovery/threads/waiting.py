"""Wait for a change on a thread or on an event loop, with one logic for both.

An operation that waits is a generator, its steps. It yields an `Until` for each wait and is sent whether the condition
came to hold in time. `run_steps` takes the steps on a thread; `aio/` takes them on an event loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

WAIT_POLL = (
    0.25  # seconds after which a thread that waits for two monitors notices a change of the second at the latest
)


class Monitor:
    """A lock, and those who wait for a change of what it guards.

    Threads wait in `wait_for`. Others register a waker, which each change calls with the lock held: it must not block,
    raise or take another lock.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()  # reentrant, because the garbage collector may run a generator of ours
        self._wakers: dict[Callable[[], object], None] = {}

    def __enter__(self) -> None:
        self._condition.__enter__()

    def __exit__(self, *exc: object) -> None:
        self._condition.release()

    def notify_all(self) -> None:
        """Wake all who wait. Call it with the lock held."""
        self._condition.notify_all()
        for waker in list(self._wakers):
            waker()

    def wait_for(self, condition: Callable[[], object], timeout: float, poll: float = threading.TIMEOUT_MAX) -> bool:
        """Wait until `condition()` holds; False if `timeout` seconds are over.

        Args:
            condition: is called with the lock held, after each change and every `poll` seconds; must be quick.
            timeout: seconds.
            poll: seconds.
        """
        with self._condition:
            deadline = time.monotonic() + timeout
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(min(left, poll))
            return True

    def add_waker(self, waker: Callable[[], object]) -> None:
        """Call `waker` at each change from now on."""
        with self._condition:
            self._wakers[waker] = None

    def remove_waker(self, waker: Callable[[], object]) -> None:
        """Forget a waker."""
        with self._condition:
            self._wakers.pop(waker, None)


class Until(NamedTuple):
    """One wait of an operation.

    Attributes:
        condition: what to wait for; called with the lock of `monitor` held, must be quick.
        deadline: monotonic seconds.
        monitor: tells of changes that may make it hold.
        also: tells of more such changes.
    """

    condition: Callable[[], object]
    deadline: float
    monitor: Monitor
    also: Monitor | None = None


Steps: TypeAlias = Generator[Until, bool, T]


def run_steps(steps: Steps[T]) -> T:
    """Take the steps of an operation on this thread; return what it returns."""
    go_on: Callable[[], Until] = partial(next, steps)
    try:
        while True:
            wait = go_on()
            poll = threading.TIMEOUT_MAX if wait.also is None else WAIT_POLL
            try:
                held = wait.monitor.wait_for(wait.condition, wait.deadline - time.monotonic(), poll)
            except BaseException as error:  # noqa: BLE001 - the steps raise it again
                go_on = partial(steps.throw, error)
            else:
                go_on = partial(steps.send, held)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        del go_on  # because an error in it refers to this frame
