"""Terms on a loop whose tasks begin in the call that makes them."""

from __future__ import annotations

import asyncio
import sys

import pytest

from zkdiscovery import AsyncClient
from zkdiscovery.aio.term import CancelWhenLost
from zkdiscovery.testing import static_client


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
def test_a_block_whose_term_is_lost_already_leaves_no_cancellation() -> None:
    """The watcher ran inside the task of the block, and cancelled what followed the block."""

    async def main() -> None:
        if sys.version_info >= (3, 12):
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with AsyncClient.of(static_client()) as client:
            async with client.election("report").campaign() as term:
                pass
            assert term.lost
            async with CancelWhenLost(term):
                pass
            await asyncio.sleep(0)

    asyncio.run(main())
