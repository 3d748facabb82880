"""Waits of tasks that clean up after they were cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from zkdiscovery import AsyncClient, NoInstanceAvailable
from zkdiscovery.testing import static_client


def test_a_wait_that_times_out_raises_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python 3.11.0 to 3.11.2, as of Debian 12, `asyncio.timeout` raises CancelledError in such a task."""
    enter = asyncio.Timeout.__aenter__

    async def enter_as_in_3_11_2(timeout: Any) -> Any:
        entered = await enter(timeout)
        timeout._cancelling = 0  # it does not look at what the task was cancelled with before
        return entered

    async def main() -> None:
        client = AsyncClient.of(static_client(payments=["127.0.0.1:8001"]))
        begun, cleaned = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                with pytest.raises(NoInstanceAvailable, match="1 of 2 instances"):
                    await client.discover("payments").wait_ready(0.01, at_least=2)
                cleaned.set()

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert cleaned.is_set()
        assert task.cancelled()
        await client.aclose()

    monkeypatch.setattr(asyncio.Timeout, "__aenter__", enter_as_in_3_11_2)
    asyncio.run(main())
