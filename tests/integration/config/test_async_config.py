"""Live configurations on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from tests.integration.aio.loops import on_loop
from tests.integration.config.conftest import MakeAsync
from tests.support import LIMIT
from zkdiscovery import ClientClosed, ConfigChange, InvalidDocument, NotConnected


async def until(condition: Callable[[], object]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Shop(BaseModel):
    timeout: float = 1.0


@on_loop
async def test_a_change(make_async: MakeAsync) -> None:
    client = make_async()
    store = client.config_store("shop")
    told: asyncio.Queue[ConfigChange[Shop]] = asyncio.Queue()

    async def tell(change: ConfigChange[Shop]) -> None:
        await told.put(change)

    async with client.config("shop", Shop, layers=["base", "shop"], id="web-1") as config:
        assert (await config.wait_ready()).value == Shop()
        with config.on_change(tell), config.on_change(told.put_nowait):
            assert [(await told.get()).after for _ in range(2)] == [Shop(), Shop()]
            async with store.edit("slow bank") as draft:
                draft["timeout"] = 3
            assert [(await told.get()).keys for _ in range(2)] == [{"timeout"}, {"timeout"}]
        changes = config.changes(timeout=LIMIT)
        assert (await anext(changes)).after.timeout == 3
        await store.replace({"timeout": "soon"}, "bad")
        await until(lambda: config.rejected is not None)
        assert config.value.timeout == 3
        async with asyncio.timeout(LIMIT):
            while [(reader.id, reader.rejected) for reader in await store.readers()] != [("web-1", 2)]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await store.rollback(1)
        await until(lambda: config.rejected is None)
    assert [change async for change in changes] == []
    with pytest.raises(ClientClosed):
        await config.wait_ready(1.0)


@on_loop
async def test_no_value(make_async: MakeAsync) -> None:
    client = make_async()
    await client.config_store("shop").replace({"timeout": []}, "bad")
    with pytest.raises(InvalidDocument):
        await client.config("shop", Shop).wait_ready()
    with pytest.raises(NotConnected, match="has no value yet"):
        await make_async("127.0.0.1:1").config("shop", Shop).wait_ready(0.1)
