"""What tests of asyncio share: a loop with a limit, and a task that is cancelled at a given step."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ParamSpec, TypeVar

from tests.support import LIMIT

P = ParamSpec("P")
T = TypeVar("T")


def on_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a loop of its own, which must be left without tasks."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        async def limited() -> None:
            async with asyncio.timeout(2 * LIMIT):
                await test(*args, **kwargs)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(limited())

    return wrapper


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; by looking, because it may be anything."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {inspect.getsource(condition)}"
        await asyncio.sleep(0.005)


class CancelledAt:
    """Awaits a coroutine, and has its task cancelled when it is suspended for the time number `step`, from 0 on.

    Attributes:
        reached: True if it was suspended so often.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], step: int) -> None:
        self._work = work
        self._step = step
        self.reached = False

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        number = 0
        task = asyncio.current_task()
        assert task is not None
        try:
            suspended = next(steps)
            while True:
                if number == self._step:
                    self.reached = True
                    asyncio.get_running_loop().call_soon(task.cancel)
                number += 1
                try:
                    value = yield suspended
                except BaseException as error:
                    suspended = steps.throw(error)
                else:
                    suspended = steps.send(value)
        except StopIteration as end:
            return end.value


async def cancel_at_each_step(
    make: Callable[[], Coroutine[Any, Any, Any]], after: Callable[[], Coroutine[Any, Any, None]], most: int = 40
) -> int:
    """Run an operation once for each of its steps, and cancel it there.

    Args:
        make: makes the operation.
        after: checks that nothing is left, after each time.
        most: steps.

    Returns:
        the number of steps at which it was cancelled.
    """
    for step in range(most):
        work = CancelledAt(make(), step)

        async def run(work: CancelledAt = work) -> None:
            await work

        task = asyncio.create_task(run())
        await asyncio.wait([task], timeout=LIMIT)
        assert task.done(), f"cancelled at step {step}, it goes on"
        if not task.cancelled():
            task.result()
        await after()
        if not work.reached:
            return step
    raise AssertionError(f"more than {most} steps")
