"""Work that blocks for a while, off the loop: one-off reads and writes, the first use, the closing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from zkdiscovery.core import Core, Feature
from zkdiscovery.errors import ClientClosed
from zkdiscovery.threads import Worker, abandoned_when, start_thread

T = TypeVar("T")

THREADS = 4  # operations of one client that run at the same time


class _Result(Generic[T]):
    """A future of the running loop that any thread may complete. Only the first completion counts."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()

    def run(self, work: Callable[[], T]) -> None:
        """Call `work` on this thread and complete the future with its end."""
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever awaits
            self._complete(self.future.set_exception, error)
        else:
            self._complete(self.future.set_result, result)

    def fail(self, error: Exception) -> None:
        """Complete the future with an error."""
        self._complete(self.future.set_exception, error)

    def _complete(self, complete: Callable[[Any], None], value: object) -> None:
        def once() -> None:
            if not self.future.done():  # cancelled meanwhile
                complete(value)

        with suppress(RuntimeError):  # the loop was closed meanwhile, so nobody waits
            self._loop.call_soon_threadsafe(once)


async def in_thread(work: Callable[[], T], name: str) -> T:
    """Run `work` on a thread of its own. Where the wait for it is cancelled, it goes on."""
    result: _Result[T] = _Result()
    start_thread(lambda: result.run(work), name)
    return await result.future


class Operations(Feature):
    """The one-off operations of one client. Each has a limit of its own, so the threads are never held for good."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._worker = Worker("zkdiscovery-operations", threads=THREADS)
        self._lock = threading.Lock()
        self._waiting: dict[_Result[Any], None] = {}

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` on one of the threads. Where the wait is cancelled, it sends no further request.

        Raises:
            ClientClosed: the client was closed before it began.
            NoThreadAvailable: the system has no thread to give.
        """
        result: _Result[T] = _Result()
        over = threading.Event()

        def task() -> None:
            with self._lock:
                if result not in self._waiting:  # cancelled, or told that it does not begin
                    return
                del self._waiting[result]
            with abandoned_when(over):
                result.run(work)

        with self._lock:
            self.require_open()
            self._waiting[result] = None
        try:
            self._worker.schedule(result, task)
            return await result.future
        finally:
            over.set()
            self._worker.cancel(result)
            with self._lock:
                self._waiting.pop(result, None)

    def begin_close(self, deadline: float) -> None:  # noqa: ARG002 - it is quick
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        self._worker.close(0.0)
        for result in waiting:
            result.fail(ClientClosed("the client was closed before this operation began"))
