"""What ends because a signal closes the client waits for that signal's turn, and the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.integration.aio.loops import on_loop
from zkdiscovery import AsyncClient, AsyncTerm, LeadershipLost
from zkdiscovery.lifecycle.turns import Turn
from zkdiscovery.testing import static_client

LIMIT = 20.0  # seconds


async def run(client: AsyncClient, begun: asyncio.Event) -> None:
    async def work(_: AsyncTerm) -> None:
        begun.set()
        await asyncio.Event().wait()

    assert await client.election("report").run(work) is None


async def campaign(client: AsyncClient, begun: asyncio.Event) -> None:
    with pytest.raises(LeadershipLost):
        async with client.election("report").campaign():
            begun.set()
            await asyncio.Event().wait()


async def changes(client: AsyncClient, begun: asyncio.Event) -> None:
    async for _ in client.discover("payments").changes():
        begun.set()


@pytest.mark.parametrize("operation", [run, campaign, changes])
@on_loop
async def test_the_end_waits_for_the_turn(
    operation: Callable[[AsyncClient, asyncio.Event], Coroutine[Any, Any, None]],
) -> None:
    """The code behind it ran as if its work were done, and could end the process before the signal did."""
    static = static_client(payments=["127.0.0.1:8001"])
    begun = asyncio.Event()
    task = asyncio.create_task(operation(AsyncClient.of(static), begun))
    await begun.wait()
    turn = Turn()  # of a signal that has just come
    turn.expect(LIMIT)
    try:
        await asyncio.to_thread(static.close)
        ended, _ = await asyncio.wait([task], timeout=0.2)
        assert not ended
    finally:
        turn.over()
    await task
