"""A lock on an event loop: a loss cancels the block, a cancellation leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.loops import cancel_at_each_step, on_loop, until
from tests.integration.locks.conftest import MakeAsync, Queue
from tests.support import LIMIT
from zkdiscovery import AsyncClient, Client, ClientClosed, HoldLost, LockTimeout

Expire = Callable[[Client], object]

NAME = "invoice"


@on_loop
async def test_a_block(make_async: MakeAsync, queue: Queue) -> None:
    lock = make_async().lock(NAME)
    async with lock.hold(LIMIT) as hold:
        hold.check()
        assert [who.fence for who in await lock.holders()] == [hold.fence]
        assert (await lock.holder()) is not None
        assert await lock.waiters() == []
        for again in (lock.acquire, lock.try_acquire, lock.__aenter__, lambda: lock.hold().__aenter__()):
            with pytest.raises(RuntimeError, match="not re-entrant"):
                await again()
        assert not await hold.wait_lost(0.01)
    assert hold.lost
    assert queue() == []
    async with lock as hold:
        assert len(queue()) == 1
    assert queue() == []
    with pytest.raises(KeyError):
        async with lock:
            raise KeyError
    assert queue() == []


@on_loop
async def test_acquire_try_and_give_up(make_async: MakeAsync, queue: Queue) -> None:
    first, second = make_async().lock(NAME), make_async().lock(NAME)
    hold = await first.acquire(LIMIT)
    assert await second.try_acquire() is None
    with pytest.raises(LockTimeout, match="was not free within"):
        await second.acquire(0.2)
    assert len(queue()) == 1
    hold.release()
    other = await second.acquire(LIMIT)
    assert other.fence > hold.fence
    other.release()
    await until(lambda: queue() == [])


@on_loop
async def test_a_hundred_tasks_take_turns(make_async: MakeAsync, queue: Queue) -> None:
    client = make_async()
    fences: list[int] = []
    inside = 0

    async def take() -> None:
        nonlocal inside
        async with client.lock(NAME).hold(None) as hold:
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            fences.append(hold.fence)
            inside -= 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(100):
            tasks.create_task(take())
    assert len(fences) == 100
    assert fences == sorted(fences)
    assert queue() == []


@on_loop
async def test_threads_and_tasks_exclude_each_other(
    make_async: MakeAsync, make_client: MakeClient, queue: Queue
) -> None:
    held = await asyncio.to_thread(make_client().lock(NAME).acquire, LIMIT)
    waiting = asyncio.create_task(make_async().lock(NAME).acquire(LIMIT))
    await until(lambda: len(queue()) == 2)
    assert not waiting.done()
    held.release()
    assert (await waiting).fence > held.fence


@on_loop
async def test_a_loss_cancels_the_block(make_async: MakeAsync, zkdiscovery_expire: Expire) -> None:
    client = make_async()
    reached: list[str] = []
    with pytest.raises(HoldLost, match="the session expired"):
        async with client.lock(NAME):
            try:
                await asyncio.to_thread(zkdiscovery_expire, client.sync)
                await asyncio.Event().wait()
            finally:
                reached.append("cancelled")
    assert reached == ["cancelled"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@on_loop
async def test_a_block_that_ignores_its_loss_raises_all_the_same(
    make_async: MakeAsync, zkdiscovery_expire: Expire
) -> None:
    client = make_async()
    with pytest.raises(HoldLost, match="the session expired"):
        async with client.lock(NAME):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.to_thread(zkdiscovery_expire, client.sync)
                await asyncio.Event().wait()
    await asyncio.sleep(0)


@on_loop
async def test_what_follows_a_release_is_not_cancelled(make_async: MakeAsync) -> None:
    async with make_async().lock(NAME) as hold:
        hold.release()
        assert await hold.wait_lost(LIMIT)
        await asyncio.sleep(0.05)


@on_loop
async def test_closing(make_async: MakeAsync, queue: Queue) -> None:
    holding, waiting = make_async(), make_async()
    with pytest.raises(HoldLost, match="the client was closed"):
        async with holding.lock(NAME):
            task = asyncio.create_task(waiting.lock(NAME).acquire(None))
            await until(lambda: len(queue()) == 2)
            await waiting.aclose()
            with pytest.raises(ClientClosed):
                await task
            await holding.aclose()  # not cancelled, because the block itself closes it
            await asyncio.sleep(0.02)
            assert queue() == []


@on_loop
async def test_closing_cancels_the_block_of_another_task(make_async: MakeAsync, queue: Queue) -> None:
    client = make_async()
    inside = asyncio.Event()

    async def block() -> None:
        async with client.lock(NAME):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await inside.wait()
    await client.aclose()
    with pytest.raises(HoldLost, match="the client was closed"):
        await task
    assert queue() == []


@pytest.mark.parametrize("contended", [False, True])
def test_cancelled_at_each_step(make_async: MakeAsync, queue: Queue, contended: bool) -> None:
    """Nothing is left, and the same object takes the lock again."""

    async def work(client: AsyncClient) -> None:
        lock = client.lock(NAME)

        async def take() -> None:
            async with lock.hold(LIMIT):
                await asyncio.sleep(0)

        async def give_up() -> None:
            with pytest.raises(LockTimeout):
                await lock.acquire(0.05)

        async def nothing_left() -> None:
            await until(lambda: len(queue()) == contended)

        await cancel_at_each_step(give_up if contended else take, nothing_left)

    @on_loop
    async def run() -> None:
        if contended:
            async with make_async().lock(NAME):
                await work(make_async())
        else:
            await work(make_async())

    run()
