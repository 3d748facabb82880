"""An event loop on a thread of its own, on which threads take locks through the async client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from typing import Any

from zkdiscovery import AsyncHold


class Loop:
    """The loop. Any thread calls the methods."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="loop", daemon=True).start()

    def run(self, operation: Coroutine[Any, Any, Any], give_up: float | None) -> Any:
        """Run an operation; cancelled after `give_up` seconds, which raises CancelledError."""
        return asyncio.run_coroutine_threadsafe(_giving_up(operation, give_up), self._loop).result()

    def hold(self, lock: Any, limit: float | None, leaving: ExitStack) -> AsyncHold:
        """Hold a lock in a block, which `leaving` ends. A loss cancels the block, and `leaving` raises HoldLost."""
        taken: Future[AsyncHold] = Future()
        leave = asyncio.Event()

        async def block() -> None:
            async with lock.hold(limit) as hold:
                taken.set_result(hold)
                await leave.wait()

        task = asyncio.run_coroutine_threadsafe(block(), self._loop)
        wait([taken, task], return_when=FIRST_COMPLETED)
        if not taken.done():
            task.result()  # raises
        leaving.callback(task.result)
        leaving.callback(self._loop.call_soon_threadsafe, leave.set)  # before the one above
        return taken.result()


async def _giving_up(operation: Coroutine[Any, Any, Any], seconds: float | None) -> Any:
    task = asyncio.ensure_future(operation)
    await asyncio.wait([task], timeout=seconds)
    task.cancel()  # does nothing to one that is done
    return await task
