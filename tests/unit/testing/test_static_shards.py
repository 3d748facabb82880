"""Shards of a static client: held at once, shared out among its members, lost when a test says so."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.support import LIMIT, Recorder, wait_until
from zkdiscovery import AsyncClient, AsyncShard, InvalidSettings, NodeMissing, Shard
from zkdiscovery.testing import static_client


def test_shards_are_held_and_lost_and_shared_out() -> None:
    with static_client() as client:
        begun: Recorder[Shard] = Recorder()
        held: Recorder[tuple[int, ...]] = Recorder()

        def consume(shard: Shard) -> None:
            begun(shard)
            shard.wait_lost(None)

        first, second = client.shards("orders", count=4), client.shards("orders")
        first.on_change(held)
        threads = [threading.Thread(target=shards.run, args=(consume,)) for shards in (first, second)]
        threads[0].start()
        begun.wait(lambda begun: len(begun) == 4)
        assert first.held() == [0, 1, 2, 3]
        assert client.shard_names() == ["orders"]
        client.lose_shards("orders")
        begun.wait(lambda begun: len(begun) == 8)
        assert all(shard.lost for shard in begun.items[:4])
        assert begun.items[4].hold.fence > begun.items[0].hold.fence
        threads[1].start()
        begun.wait(lambda begun: len(begun) == 10)
        wait_until(lambda: len(first.held()) == len(second.held()) == 2)
        table = client.shards("orders").table()
        assert [len(member.shards) for member in table.members] == [2, 2]
        assert all(shard.owner == shard.assigned for shard in table.shards)
        second.close()
        begun.wait(lambda begun: len(begun) == 12)
        with pytest.raises(InvalidSettings, match="are 4, and count=5 was given"):
            client.shards("orders", count=5).run(consume)
        with pytest.raises(NodeMissing):
            client.shards("none").table()
        client.drain()
        for thread in threads:
            thread.join(LIMIT)
        assert held.wait(lambda told: len(told) > 1 and told[-1] == ())


def test_shards_on_a_loop() -> None:
    async def main() -> None:
        async with AsyncClient.of(static_client()) as client:
            begun: list[AsyncShard] = []
            all_begun = asyncio.Event()

            async def consume(shard: AsyncShard) -> None:
                begun.append(shard)
                if len(begun) == 3:
                    all_begun.set()
                await asyncio.Event().wait()

            shards = client.shards("orders", count=3)
            running = asyncio.create_task(shards.run(consume))
            await asyncio.wait_for(all_begun.wait(), LIMIT)
            assert shards.held() == [0, 1, 2]
            assert (await shards.table()).count == 3
            await shards.aclose()
            await running
            assert all(shard.lost for shard in begun)

    asyncio.run(main())
