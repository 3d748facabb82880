"""Elections on an event loop: campaign for leadership, hold it for a term, follow who leads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Self, TypeVar

from zkdiscovery.aio.functions import awaitable, check_callable
from zkdiscovery.aio.operations import Operations
from zkdiscovery.aio.running import running_task
from zkdiscovery.aio.subscription import AsyncSubscription
from zkdiscovery.aio.term import AsyncTerm, CancelWhenLost
from zkdiscovery.aio.waiting import await_signals, take_steps
from zkdiscovery.election import LEAVE_TIMEOUT, RESTART_DELAY, BaseElection, Candidate, Observers
from zkdiscovery.errors import ClientClosed, LeadershipLost
from zkdiscovery.lifecycle import leaving
from zkdiscovery.threads import Steps, Until, latest
from zkdiscovery.validation import check_timeout, deadline_after

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.election")


class AsyncElection(BaseElection[AsyncTerm]):
    """One election, made by `AsyncClient.election`. Nothing is sent before the first campaign.

    One campaign runs at a time. What is not awaited may be called from any thread.
    """

    make_term = AsyncTerm

    @asynccontextmanager
    async def campaign(self, timeout: float | None = None) -> AsyncIterator[AsyncTerm]:
        """Wait for leadership; the block runs as the leader; leaving it resigns.

        A loss cancels the task of the block, and the block raises LeadershipLost. Whatever the block does after
        `term.resign()` is not cancelled.

        Args:
            timeout: seconds to wait; None: until elected or closed.

        Raises:
            LeadershipLost: the term was lost while the block ran.
            OperationTimeout: not elected in time; the queue is left.
            ClientClosed: the election or the client was closed.
            RuntimeError: a campaign of this object is under way.
            InvalidSettings: no time.
        """
        check_timeout(timeout)
        try:
            self._begin()
            try:
                async with self._turn(timeout) as term:
                    yield term
            finally:
                self._busy = False
        except (ClientClosed, LeadershipLost):
            await await_signals()
            raise

    async def run(self, fn: Callable[[AsyncTerm], Awaitable[T]], timeout: float | None = None) -> T | None:
        """Campaign and await `fn(term)`, again if the term was lost meanwhile. None if closed before it returns.

        A loss cancels `fn`.

        Args:
            fn: `async def`: what only a leader may do.
            timeout: seconds to wait for leadership; None: until closed.

        Raises:
            OperationTimeout: not elected in time; the queue is left.
            TypeError: `fn` is no function, or what it returns can't be awaited.
            RuntimeError: a campaign of this object is under way.
        """
        check_callable(fn, "what a leader runs")
        check_timeout(timeout)
        try:
            self._begin()
        except ClientClosed:
            await await_signals()
            return None
        try:
            while True:
                term: AsyncTerm | None = None
                try:
                    async with self._turn(timeout) as term:
                        result: T = await awaitable(fn(term), "what a leader runs", fn)
                        if not term.lost:
                            return result
                except LeadershipLost:
                    if term is None or not term.lost:
                        raise
                except ClientClosed:
                    if term is not None:  # the function's own
                        raise
                    await await_signals()
                    return None
        finally:
            self._busy = False

    def start(self, fn: Callable[[AsyncTerm], Awaitable[object]]) -> None:
        """Await `fn(term)` for each leadership won, in a task of this loop, until the election is closed.

        If `fn` raises, it is logged, and the next campaign begins a second later.

        Raises:
            TypeError: `fn` is no function.
            RuntimeError: a campaign of this object is under way, or was started already; or no event loop runs.
            ClientClosed: the election or the client was closed.
        """
        check_callable(fn, "what a leader runs")
        loop = asyncio.get_running_loop()
        self._begin()
        self._runner = task = loop.create_task(self._run_turns(fn), name=f"zkdiscovery-election-{self.name}")
        task.add_done_callback(self._ended)

    async def candidates(self, timeout: float | None = 5.0) -> list[Candidate]:
        """All candidates, the leader first; one read.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        core, limit = self._slot.current(), check_timeout(timeout)
        return await core.feature(Operations).run(lambda: core.feature(Observers).candidates(self.name, limit))

    async def leader(self, timeout: float | None = 5.0) -> Candidate | None:
        """The leader, or who comes next while one leaves; None if nobody stands; one read. Raises as `candidates`."""
        return next(iter(await self.candidates(timeout)), None)

    def on_change(self, fn: Callable[[Candidate | None], object]) -> AsyncSubscription[Candidate | None]:
        """Call `fn(leader)`, which may be `async def`, on this loop when another candidate leads.

        The present leader comes first. None stands for nobody. While ZooKeeper can't be reached nothing is called.

        Raises:
            TypeError: `fn` can't be called.
            RuntimeError: no event loop runs.
            ClientClosed: the election or the client was closed.
        """
        core = self._slot.current()
        with self._changed:
            self._require_open()
            return AsyncSubscription(partial(self._following.subscribe, core), fn, latest)

    async def aclose(self, timeout: float | None = LEAVE_TIMEOUT) -> None:
        """End the term, wait for its block up to `timeout` seconds, leave the queue. Idempotent.

        The block is cancelled. One that still runs then is logged at ERROR. From within the block, it is neither
        cancelled nor waited for.
        """
        end = deadline_after(timeout)
        self.end_term()
        self._following.stop_observing()
        await take_steps(self._leaving(end))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        with leaving(LEAVE_TIMEOUT) as limit:
            await self.aclose(limit)

    # -- campaigns --

    def _renew(self) -> None:
        super()._renew()
        self._cancel: CancelWhenLost | None = None  # of the block that runs

    def _me(self) -> object:
        return running_task()

    def _name_of(self, runner: object) -> str:
        return f"task {runner.get_name()}" if isinstance(runner, asyncio.Task) else repr(runner)

    def end_term(self) -> None:
        """End the term, and let none begin. Never blocks; the block of another task than the caller's is cancelled."""
        block, cancel, me = self._block, self._cancel, self._me()
        if block is not None and cancel is not None and block[1] is me:
            cancel.disarm()
        super().end_term()

    @asynccontextmanager
    async def _turn(self, timeout: float | None) -> AsyncIterator[AsyncTerm]:
        """One leadership, from waiting for it to leaving the queue."""
        try:
            term = await take_steps(self._electing(timeout))
            self._cancel = CancelWhenLost(term)
            async with self._cancel:
                yield term
        finally:
            self._cancel = None
            candidacy = self._withdraw()
            if candidacy is not None:
                with leaving(LEAVE_TIMEOUT) as limit:
                    await take_steps(candidacy.leaving(limit))

    async def _run_turns(self, fn: Callable[[AsyncTerm], Awaitable[object]]) -> None:
        while True:
            term: AsyncTerm | None = None
            try:
                async with self._turn(None) as term:
                    await awaitable(fn(term), "what a leader runs", fn)
            except ClientClosed as error:
                if self._closed or self._slot.ending.begun:
                    return
                self._note_failure(error)
            except LeadershipLost as error:
                if term is not None and term.lost:
                    log.info("the function of the election %r ended with its term", self.name)
                    continue
                self._note_failure(error)
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                    raise
                self._note_failure(error)  # the campaign goes on, also if something that `fn` awaits was cancelled
            else:
                continue
            if await take_steps(self._pausing()):
                return

    def _note_failure(self, error: BaseException) -> None:
        log.error("the function of the election %r raised; it campaigns again", self.name, exc_info=error)

    def _pausing(self) -> Steps[bool]:
        return (yield Until(lambda: self._closed, time.monotonic() + RESTART_DELAY, self._changed))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The task of `start` has ended."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the campaign for the election %r ended", self.name, exc_info=error)
        with self._changed:
            self._busy = False
            self._runner = None
            self._changed.notify_all()


def _is_cancelled() -> bool:
    """Return whether somebody has cancelled the task that runs this."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
