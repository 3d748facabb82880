"""The end of subscriptions whose functions run on a loop."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.integration.aio.loops import until
from tests.support import wait_until
from zkdiscovery import AsyncClient, AsyncSubscription, Change, State
from zkdiscovery.testing import static_client

LIMIT = 20.0  # seconds


class Slow:
    """A function that waits in each call until it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.let_go = asyncio.Event()
        self._called = asyncio.Event()

    async def __call__(self, _: Change) -> None:
        self.calls += 1
        self._called.set()
        await self.let_go.wait()

    async def wait_called(self) -> None:
        """Wait for the first call."""
        async with asyncio.timeout(LIMIT):
            await self._called.wait()


def test_no_call_begins_after_the_view_was_closed() -> None:
    static = static_client(payments=["127.0.0.1:8001"])

    async def main() -> None:
        async with AsyncClient.of(static) as client:
            view, slow = client.discover("payments"), Slow()
            subscription = view.on_change(slow)
            await slow.wait_called()
            static.set_instances("payments", [])
            await until(lambda: subscription._waiting)
            await view.aclose()
            assert subscription.closed
            slow.let_go.set()
            await asyncio.sleep(0.01)
            assert slow.calls == 1

    asyncio.run(main())


def test_the_end_of_a_loop_ends_its_subscriptions(caplog: pytest.LogCaptureFixture) -> None:
    """Another call began for the change that waited, and was dropped in its midst."""
    static = static_client(payments=["127.0.0.1:8001"])

    async def main() -> Slow:
        slow = Slow()
        subscription = AsyncClient.of(static).discover("payments").on_change(slow)
        await slow.wait_called()
        static.set_instances("payments", [])
        await until(lambda: subscription._waiting)
        return slow

    with caplog.at_level(logging.ERROR):
        slow = asyncio.run(main())
    assert slow.calls == 1
    assert not caplog.records
    static.close()


def test_the_next_change_ends_a_subscription_of_a_loop_that_was_closed_while_one_waited() -> None:
    static = static_client()
    loop = asyncio.new_event_loop()

    async def subscribe() -> AsyncSubscription[State]:
        return AsyncClient.of(static).on_change(print)

    subscription = loop.run_until_complete(subscribe())
    static.slot.states.offer(State.SUSPENDED)
    wait_until(lambda: subscription._waiting)
    loop.close()
    static.slot.states.offer(State.CONNECTED)
    wait_until(lambda: subscription.closed)
    static.close()
