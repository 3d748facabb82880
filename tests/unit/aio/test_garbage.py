"""What fails or is cancelled is freed at once: a program that collects rarely must not fill its memory."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

from zkdiscovery import AsyncClient, Instance
from zkdiscovery.testing import static_client


async def garbage(work: Callable[[], Awaitable[object]]) -> int:
    """Run something; return how many objects only the collector frees after it."""
    await work()  # the first time, imports may leave some
    found = []
    for _ in range(5):  # other threads may leave some as well, but hardly each time
        gc.collect()
        gc.disable()
        try:
            await work()
            found.append(gc.collect())
        finally:
            gc.enable()
    return min(found)


def test_a_wait_that_was_cancelled() -> None:
    async def main() -> None:
        async with AsyncClient.of(static_client(payments=["127.0.0.1:8001"])) as client:
            view = client.discover("payments")

            async def cancelled() -> None:
                waiting = asyncio.create_task(view.wait_ready(60.0, at_least=2))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])

            assert await garbage(cancelled) == 0

    asyncio.run(main())


def test_a_call_that_failed() -> None:
    async def main() -> None:
        async with AsyncClient.of(static_client(payments=["127.0.0.1:8001"])) as client:
            view = client.discover("payments")

            async def fetch(_: Instance) -> None:
                raise ConnectionError

            async def failed() -> None:
                try:
                    await view.call(fetch, retry_on=ConnectionError)
                except ConnectionError:
                    return

            assert await garbage(failed) == 0

    asyncio.run(main())
