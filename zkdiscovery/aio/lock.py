"""Locks on an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from zkdiscovery.aio.operations import Operations
from zkdiscovery.aio.running import running_task
from zkdiscovery.aio.subscription import AsyncSubscription
from zkdiscovery.aio.term import AsyncHold, CancelWhenLost
from zkdiscovery.aio.waiting import take_steps
from zkdiscovery.lifecycle import leaving
from zkdiscovery.locks import (
    LEAVE_TIMEOUT,
    WAIT,
    BaseLock,
    BaseReadWriteLock,
    Contender,
    Place,
    Standing,
)
from zkdiscovery.threads import latest
from zkdiscovery.validation import check_timeout


class AsyncLock(BaseLock[AsyncHold]):
    """One lock, made by `AsyncClient.lock`, or one side of an `AsyncReadWriteLock`. Nothing is sent before the first
    use.

    Whoever waits is served in the order of arrival. A lock is not re-entrant: an object holds it once at a time, and
    each task needs an object of its own. `async with lock:` is `async with lock.hold():`.
    """

    hold_type = AsyncHold

    @asynccontextmanager
    async def hold(self, timeout: float | None = WAIT) -> AsyncIterator[AsyncHold]:
        """Wait for the lock; the block runs while it is held; leaving it releases.

        A loss cancels the task of the block, and the block raises HoldLost. Whatever the block does after
        `hold.release()` is not cancelled.

        Args:
            timeout: seconds to wait; None: without limit.

        Raises:
            LockTimeout: not free in time; nobody waits any more.
            HoldLost: it was lost while the block ran.
            ClientClosed: the client was drained or closed.
            RuntimeError: this object holds the lock already, or waits for it.
            InvalidSettings: no time.
        """
        place, hold = await take_steps(self._holding(timeout))
        async with _block(place, hold):
            yield hold

    @asynccontextmanager
    async def hold_if_free(self, timeout: float | None = 5.0) -> AsyncIterator[AsyncHold | None]:
        """Hold the lock for the block if nobody else holds it or waits for it; the block gets None otherwise.

        Args:
            timeout: seconds to wait for ZooKeeper.

        Raises:
            LockTimeout: ZooKeeper did not answer in time.
            HoldLost, ClientClosed, RuntimeError, InvalidSettings: as `hold`.
        """
        place = await take_steps(self._acquiring(timeout, wait=False))
        if place is None or place.hold is None:
            yield None
        else:
            async with _block(place, place.hold):
                yield place.hold

    async def acquire(self, timeout: float | None = WAIT) -> AsyncHold:
        """Wait for the lock and hold it until `release()` of what is returned, or until the client closes.

        A loss cancels nothing. For the arguments, and what it raises, see `hold`.
        """
        return (await take_steps(self._holding(timeout)))[1]

    async def try_acquire(self, timeout: float | None = 5.0) -> AsyncHold | None:
        """Hold the lock if nobody else holds it or waits for it; None otherwise.

        It takes three round trips to ZooKeeper; more at the first use of a lock, whose parent has to be made, and a
        quarter of the session timeout more if this process stood still.

        Args:
            timeout: seconds to wait for ZooKeeper.

        Raises:
            LockTimeout: ZooKeeper did not answer in time.
            ClientClosed, RuntimeError, InvalidSettings: as `hold`.
        """
        place = await take_steps(self._acquiring(timeout, wait=False))
        return None if place is None else place.hold

    async def holder(self, timeout: float | None = 5.0) -> Contender | None:
        """The holder, or who comes next while it leaves; None if nobody does. Raises as `holders`."""
        return next(iter(await self.holders(timeout)), None)

    async def holders(self, timeout: float | None = 5.0) -> list[Contender]:
        """All who hold it; several of a lock with readers or of a semaphore; two reads.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return (await self._look(timeout)).holders

    async def waiters(self, timeout: float | None = 5.0) -> list[Contender]:
        """All who wait, the next one first; two reads. Raises as `holders`."""
        return (await self._look(timeout)).waiters

    async def request_release(self, timeout: float | None = 5.0) -> list[Contender]:
        """Ask those who hold the lock to release it. Return those who were asked; empty if nobody holds it.

        It ends no hold: a holder decides by itself, see `on_release_requested`. Curator's holders hear of it, too, if
        they are revocable; kazoo's don't. Two reads, and a write for each holder.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        limit = check_timeout(timeout)
        return await self._slot.current().feature(Operations).run(lambda: self._request_release(limit))

    def on_release_requested(self, fn: Callable[[AsyncHold], object]) -> AsyncSubscription[AsyncHold]:
        """Call `fn(hold)`, which may be `async def`, on this loop when somebody asks this object to release what it
        holds.

        A request that came before, for the present hold, is told first. Requests that come while one waits for its
        call are one. Nothing is released unless somebody calls `hold.release()`.

        Raises:
            TypeError: `fn` can't be called.
            RuntimeError: no event loop runs.
        """
        return AsyncSubscription(self._subscribe, fn, latest)

    async def __aenter__(self) -> AsyncHold:
        async with AsyncExitStack() as stack:
            hold = await stack.enter_async_context(self.hold())
            self._blocks[running_task()] = stack.pop_all()
        return hold

    async def __aexit__(self, *exc: object) -> None:
        await self._blocks.pop(running_task()).__aexit__(*exc)  # type: ignore[arg-type]

    def _renew(self) -> None:
        super()._renew()
        self._blocks: dict[object, AsyncExitStack] = {}  # by task

    async def _look(self, timeout: float | None) -> Standing:
        limit = check_timeout(timeout)
        return await self._slot.current().feature(Operations).run(lambda: self._contenders(limit))


@asynccontextmanager
async def _block(place: Place[AsyncHold], hold: AsyncHold) -> AsyncIterator[None]:
    """Run a block that holds the lock, and leave the queue. While connected, wait until the node is gone."""
    try:
        cancel = CancelWhenLost(hold)
        place.enter_block(running_task, cancel.disarm)
        async with cancel:
            yield
        place.check_kept()
    finally:
        place.leave_block()
        with leaving(LEAVE_TIMEOUT) as limit:
            await take_steps(place.leaving(limit))


class AsyncReadWriteLock(BaseReadWriteLock[AsyncLock]):
    """A lock that many readers may hold at once, or one writer alone; made by `AsyncClient.read_write_lock`.

    Attributes:
        read: the lock of readers. It is held by several at once, so fences of readers are unique but in no order.
        write: the lock of writers. It excludes everybody else, and the holders of a `lock` of that name.
    """

    lock_type = AsyncLock
