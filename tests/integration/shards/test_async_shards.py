"""Shards on an event loop: what moves or is lost cancels its consumer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.loops import on_loop, until
from tests.integration.shards.conftest import Consume, MakeAsync
from tests.integration.shards.helpers import NAME
from tests.support import LIMIT, Truth
from zkdiscovery import AsyncShard, Client, ClientClosed, InvalidSettings

Expire = Callable[[Client], object]


class Loop:
    """A consumer that records what begins and what is cancelled."""

    def __init__(self) -> None:
        self.begun: list[AsyncShard] = []
        self.cancelled: list[tuple[int, bool]] = []  # the shard, and whether its hold had lasted until then

    async def consume(self, shard: AsyncShard) -> None:
        self.begun.append(shard)
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.append((shard.number, not shard.hold.lost))


@on_loop
async def test_threads_and_loops_share_out_the_shards(
    make_async: MakeAsync, make_client: MakeClient, consume: Consume
) -> None:
    client, loop = make_async(), Loop()
    shards = client.shards(NAME, count=8)
    told: list[tuple[int, ...]] = []
    shards.on_change(told.append)
    running = asyncio.create_task(shards.run(loop.consume))
    await until(lambda: len(loop.begun) == 8)
    assert shards.held() == list(range(8))
    other = consume(make_client())
    await until(lambda: len(shards.held()) == len(other.shards.held()) == 4)
    assert sorted(loop.cancelled) == [(number, True) for number in sorted(other.shards.held())]
    table = await shards.table()
    assert [len(member.shards) for member in table.members] == [4, 4]
    assert await client.shard_names() == [NAME]
    await until(lambda: bool(told) and len(told[-1]) == 4)
    await asyncio.to_thread(other.shards.close)
    await until(lambda: len(shards.held()) == 8)
    with pytest.raises(RuntimeError, match="runs the shards 'orders' already"):
        await shards.run(loop.consume)
    await client.aclose()
    await asyncio.wait_for(running, LIMIT)
    assert len(loop.cancelled) == 12
    assert shards.held() == []


@on_loop
async def test_a_lost_session_cancels_the_consumers(make_async: MakeAsync, zkdiscovery_expire: Expire) -> None:
    client, loop = make_async(), Loop()
    async with client.shards(NAME, count=4) as shards:
        running = asyncio.create_task(shards.run(loop.consume))
        await until(lambda: len(loop.begun) == 4)
        await asyncio.to_thread(zkdiscovery_expire, client.sync)
        await until(lambda: len(loop.begun) == 8)
        assert sorted(loop.cancelled) == [(number, False) for number in range(4)]
    await asyncio.wait_for(running, LIMIT)


@on_loop
async def test_a_cancelled_run_leaves_nothing(make_async: MakeAsync, truth: Truth, root: str) -> None:
    client, loop = make_async(), Loop()
    shards = client.shards(NAME, count=4)
    running = asyncio.create_task(shards.run(loop.consume))
    await until(lambda: len(loop.begun) == 4)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, LIMIT)
    assert sorted(loop.cancelled) == [(number, True) for number in range(4)], "they ended before the release"
    assert truth.children(f"{root}/members") == truth.children(f"{root}/assigner") == []
    assert all(truth.children(f"{root}/locks/{number}") == [] for number in range(4))
    again = asyncio.create_task(shards.run(loop.consume))
    await until(lambda: len(loop.begun) == 8)
    again.cancel()
    await asyncio.wait({again})


@on_loop
async def test_a_consumer_that_takes_its_time_keeps_its_shard(make_async: MakeAsync) -> None:
    first, second = make_async().shards(NAME, count=2), make_async().shards(NAME, count=2)
    may_end = asyncio.Event()
    begun: list[AsyncShard] = []

    async def slow(shard: AsyncShard) -> None:
        begun.append(shard)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await may_end.wait()
        shard.hold.check()

    loop = Loop()
    tasks = [asyncio.create_task(first.run(slow))]
    await until(lambda: len(begun) == 2)
    tasks.append(asyncio.create_task(second.run(loop.consume)))
    await until(lambda: any(shard.lost for shard in begun))
    assert await next(shard for shard in begun if shard.lost).wait_lost(None)
    assert not await next(shard for shard in begun if not shard.lost).wait_lost(0.0)
    assert (first.held(), second.held()) == ([0, 1], [])
    may_end.set()
    await until(lambda: len(loop.begun) == 1)
    await asyncio.gather(first.aclose(), second.aclose())
    await asyncio.gather(*tasks)


@on_loop
async def test_a_consumer_that_fails_harms_no_other(make_async: MakeAsync, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    shards = make_async().shards(NAME, count=4)

    async def consume(shard: AsyncShard) -> None:
        calls.append(shard.number)
        if shard.number == 0:
            raise KeyError("nonsense")
        if shard.number == 1:
            broken = asyncio.get_running_loop().create_future()
            broken.cancel()
            await broken
        if shard.number == 2:
            await asyncio.Event().wait()

    running = asyncio.create_task(shards.run(consume))
    await until(lambda: min(calls.count(number) for number in (0, 1, 3)) == 2)
    assert calls.count(2) == 1
    assert shards.held() == [0, 1, 2, 3]
    await shards.aclose()
    await running
    errors = {record.getMessage() for record in caplog.records if record.levelname == "ERROR"}
    assert errors == {f"what consumes shard {n} of the shards 'orders' raised; it is called again" for n in (0, 1)}
    ours = [record for record in caplog.records if record.name == "zkdiscovery.shards"]
    warnings = [record for record in ours if record.levelname == "WARNING"]
    assert len(warnings) == 1, "of the one that returned, once"


@on_loop
async def test_leaving_from_within_a_consumer(make_async: MakeAsync) -> None:
    for how in ("client", "shards"):
        client = make_async()
        shards = client.shards(f"{NAME}-{how}", count=2)
        ended: list[int] = []

        async def consume(
            shard: AsyncShard, leave: object = client if how == "client" else shards, ended: list[int] = ended
        ) -> None:
            if shard.number == 0:
                await leave.aclose()  # type: ignore[attr-defined]
                assert shard.lost
                ended.append(0)
                return
            await asyncio.Event().wait()

        await asyncio.wait_for(shards.run(consume), LIMIT)
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        assert ended == [0]
        assert shards.held() == []


@on_loop
async def test_misuse(make_async: MakeAsync) -> None:
    client = make_async()
    shards = client.shards(NAME, count=2)
    with pytest.raises(TypeError, match="what consumes a shard"):
        await shards.run(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidSettings, match="not known how many"):
        await client.shards(NAME).run(Loop().consume)
    await shards.aclose()
    began = time.monotonic()
    await shards.run(Loop().consume)
    assert time.monotonic() - began < LIMIT
    with pytest.raises(ClientClosed, match="were closed"):
        shards.on_change(print)
