"""Calls on an event loop with retries and hedges: on another instance each time, within a budget and a time limit.

Attempts run in the caller's task, one after the other; with a hedge each is a task of its own, and the first good
answer cancels the others. An attempt that is cut off because the time is over counts as a failure of its instance; one
that the caller cancels, or that another answer has beaten, does not.

A function may swallow its cancellation. Its task is then left behind and logged; the call does not wait for it. Without
a hedge the function runs in the caller's task, so the call lasts as long as the function does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from zkdiscovery.aio.functions import awaitable
from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.call_policy import Answer, CallPolicy

log = logging.getLogger("zkdiscovery.discovery")

GRACE = 1.0  # seconds that a cancelled attempt may take to end

_left_behind: set[asyncio.Task[Answer]] = set()  # loops refer weakly to tasks


class AsyncCall(CallPolicy):
    """One call on an event loop."""

    __slots__ = ()

    async def run(self, first: Endpoint) -> Any:
        """The first good answer. Raises what the last attempt raised, with notes of what was tried where."""
        self._start_clock()
        return await (self._in_turns(first) if self.hedge is None else self._hedged(first, self.hedge))

    async def _in_turns(self, endpoint: Endpoint) -> Any:
        while True:
            begun = self._begin(endpoint)
            attempt = self.attempt(endpoint)
            try:
                return await self._try(attempt)
            except Exception as error:
                if not self._may_retry(attempt, error):
                    self._end_with(endpoint, begun, error)
                    raise
                self._note(endpoint, begun, error)
                another = self._another()
                if another is None:
                    self._tell(error)
                    raise
            endpoint = another

    async def _hedged(self, first: Endpoint, delay: float) -> Any:
        running: set[asyncio.Task[Answer]] = {self._start(first)}
        pause: float | None = delay
        try:
            while True:
                limit = self._limit(pause)
                done, running = await asyncio.wait(running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                if not done and self._end is not None and time.monotonic() >= self._end + GRACE:
                    raise self._late()
                answers = [task.result() for task in done]
                for answer in answers:
                    if answer.error is None:
                        return answer.result
                error = answers[-1].error if answers else None
                if not self._weigh(answers, last=not running):
                    pause = None  # who was asked already may still give a good answer; nobody else is asked
                if answers and running:
                    continue
                another = self._another(elsewhere=error is None)
                if another is not None:
                    running.add(self._start(another))
                elif error is None:
                    pause = None  # nobody else is asked
                else:
                    self._tell(error)
                    raise error
        finally:
            await self._cancel(running)

    def _limit(self, pause: float | None) -> float | None:
        """Return the seconds until somebody else is asked, or until the attempts should have noticed their time."""
        if self._left is None:
            return pause
        left = self._left + GRACE
        return left if pause is None else min(pause, left)

    async def _cancel(self, running: set[asyncio.Task[Answer]]) -> None:
        for task in running:
            task.cancel()
        if running:
            _, deaf = await asyncio.wait(running, timeout=GRACE)
            for task in deaf:
                _left_behind.add(task)
                task.add_done_callback(_left_behind.discard)
                log.warning("%r runs on, %g s after its call of %r has cancelled it", self.fn, GRACE, self.service)

    def _weigh(self, answers: list[Answer], *, last: bool) -> bool:
        """Note failed attempts. True if others may be asked; raise an error that must not be retried if none runs."""
        for endpoint, begun, _, error, may_retry in answers:
            if error is not None:
                if last and not may_retry:
                    self._end_with(endpoint, begun, error)
                    raise error
                self._note(endpoint, begun, error)
        return all(answer.may_retry for answer in answers)

    def _start(self, endpoint: Endpoint) -> asyncio.Task[Answer]:
        return asyncio.create_task(self._answer(endpoint, self._begin(endpoint)))

    async def _answer(self, endpoint: Endpoint, begun: float) -> Answer:
        attempt = self.attempt(endpoint)
        try:
            return Answer(endpoint, begun, await self._try(attempt), None)
        except Exception as error:  # noqa: BLE001 - raised again where it ends the call
            return Answer(endpoint, begun, None, error, self._may_retry(attempt, error))

    async def _try(self, attempt: Attempt) -> Any:
        with attempt:
            result = self._called(attempt.instance)
            try:
                coming = awaitable(result, "what is called", self.fn)
            except TypeError:
                attempt.report(Outcome.CANCELLED)  # nothing was asked
                raise
            scope = asyncio.timeout(self._left)
            try:
                async with scope:
                    return await coming
            except TimeoutError:
                if not scope.expired():  # one of the function's own
                    raise
                attempt.fail("TimeoutError")
                raise self._late() from None

    def _may_retry(self, attempt: Attempt, error: BaseException) -> bool:
        over = self._end is not None and time.monotonic() >= self._end
        return super()._may_retry(attempt, error) and not over
