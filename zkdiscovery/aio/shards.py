"""Shards on an event loop: each that is held is consumed in a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Self

from zkdiscovery.aio.functions import awaitable, check_callable
from zkdiscovery.aio.operations import Operations
from zkdiscovery.aio.running import running_task
from zkdiscovery.aio.subscription import AsyncSubscription
from zkdiscovery.aio.term import AsyncHold
from zkdiscovery.aio.waiting import await_signals, take_steps
from zkdiscovery.errors import ClientClosed
from zkdiscovery.shards import LEAVE_TIMEOUT, BaseShard, BaseShards, Claim, ShardReads, ShardTable
from zkdiscovery.shards.base import RESTART_DELAY, WHAT
from zkdiscovery.threads import latest
from zkdiscovery.validation import check_timeout, deadline_after

log = logging.getLogger("zkdiscovery.shards")


class AsyncShard(BaseShard[AsyncHold]):
    """One shard that this process holds, as its consumer gets it.

    Attributes:
        number: of the shard, from 0 on.
        hold: proves that this process has the shard: `fence`, `check()`, `lost`, `remaining`. When a shard moves, its
            hold lasts until the consumer has ended, so that it can finish what it has begun.
    """

    async def wait_lost(self, timeout: float | None) -> bool:
        """Wait until the consumer must end, at most `timeout` seconds, None: without limit; True if it must.

        There is no default, because a caller who ignores the result must not take a timeout for the end.
        """
        return await take_steps(self._losing(timeout))


class AsyncShards(BaseShards[AsyncHold]):
    """Shards that the members of a group share out among themselves, made by `AsyncClient.shards`.

    Each shard is held by one member at a time. Nothing is sent before the first use.
    """

    hold_type = AsyncHold

    def _renew(self) -> None:
        super()._renew()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, consume: Callable[[AsyncShard], Awaitable[object]]) -> None:
        """Become a member, and await `consume(shard)` in a task for each shard that this member holds.

        It returns once the client is drained or closed, or these shards are. A shard that moves or is lost cancels
        its consumer; the next member begins after that has ended. If it raises or returns while the shard is held, it
        is called again a second later; what it raises is logged, and harms no other shard.

        Raises:
            InvalidSettings: another count is stored, or none and none was given.
            UndecodableNode: what is stored is no table of shards.
            TypeError: `consume` is no function.
            RuntimeError: this object runs already.
        """
        check_callable(consume, WHAT)
        try:
            await take_steps(self._running(consume))
        except ClientClosed:
            log.debug("%s are closed", self._title)
        await await_signals()

    def on_change(self, fn: Callable[[tuple[int, ...]], object]) -> AsyncSubscription[tuple[int, ...]]:
        """Call `fn(numbers)`, which may be `async def`, on this loop when other shards are held.

        The present ones come first.

        Raises:
            TypeError: `fn` can't be called.
            RuntimeError: no event loop runs.
            ClientClosed: these shards were closed.
        """
        with self._changed:
            self._require_open()
            held = self._held
            return AsyncSubscription(lambda take: self._subscribers.subscribe(take, held), fn, latest)

    async def table(self, timeout: float | None = 5.0) -> ShardTable:
        """Read who has which shard, and who the members are; needs no membership.

        Raises:
            NodeMissing: there are no shards of that name.
            UndecodableNode: what is stored is no table of shards.
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        core, limit = self._slot.current(), check_timeout(timeout)
        return await core.feature(Operations).run(lambda: core.feature(ShardReads).table(self.name, limit))

    async def aclose(self, timeout: float | None = LEAVE_TIMEOUT) -> None:
        """Leave the members, wait for the consumers up to `timeout` seconds, release all. Idempotent.

        The consumers are cancelled. One that still runs then is logged at ERROR. From within one, it is neither
        cancelled nor waited for.
        """
        await take_steps(self._closing(deadline_after(timeout)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def _me(self) -> object:
        return running_task() or self  # on a thread that closes the client for nobody, no task runs

    def _begin(self, claim: Claim[AsyncHold], consume: Callable[[AsyncShard], object]) -> bool:
        hold = claim.place.hold
        if hold is None:
            raise AssertionError("a shard that is not held can't be consumed")
        shard = AsyncShard(claim, hold, self._title)
        claim.busy = True
        name = f"zkdiscovery-shards-{self.name}-{claim.number}"
        task = asyncio.get_running_loop().create_task(self._consume(claim, shard, consume), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _consume(
        self, claim: Claim[AsyncHold], shard: AsyncShard, consume: Callable[[AsyncShard], object]
    ) -> None:
        try:
            while not shard.lost:
                self._note_end(shard, await self._call(claim, shard, consume))
                await shard.wait_lost(RESTART_DELAY)
        finally:
            claim.ended()

    async def _call(
        self, claim: Claim[AsyncHold], shard: AsyncShard, consume: Callable[[AsyncShard], object]
    ) -> BaseException | None:
        """Await `consume(shard)`, and cancel it when the shard is lost. Return what it raised."""

        async def call() -> None:
            claim.runner = asyncio.current_task()
            await awaitable(consume(shard), WHAT, consume)

        loop = asyncio.get_running_loop()
        inner, losing = loop.create_task(call()), loop.create_task(shard.wait_lost(None))
        both: set[asyncio.Task[Any]] = {inner, losing}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            losing.cancel()
            await _end(inner, cancel=not claim.spared)
            await _end(losing, cancel=True)
        if inner.cancelled():
            return None if shard.lost else asyncio.CancelledError("it was cancelled by something that it awaits")
        return inner.exception()


async def _end(task: asyncio.Task[Any], *, cancel: bool) -> None:
    """Wait for the end of a task, because its shard is held until then. Cancelling this cancels the task."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        if cancel:
            task.cancel()
        cancel = False
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled, cancel = error, True
    if cancelled is not None:
        raise cancelled
