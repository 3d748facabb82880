"""The async client beside a static one, for users' own unit tests."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.aio.loops import on_loop, until
from zkdiscovery import AsyncClient, AsyncTerm, Instance, LeadershipLost, RegistrationState
from zkdiscovery.testing import static_client


@on_loop
async def test_everything_is_there_at_once() -> None:
    static = static_client(payments=["127.0.0.1:8001", "127.0.0.1:8002"])
    async with AsyncClient.of(static) as client:
        await client.wait_connected()
        payments = await client.discover("payments").wait_ready(at_least=2)

        async def fetch(instance: Instance) -> int:
            return instance.port

        assert await payments.call(fetch) in {8001, 8002}
        static.set_instances("payments", ["127.0.0.1:8003"])
        assert payments.pick().port == 8003
        assert [instance.port for instance in await client.instances("payments")] == [8003]
        async with client.register("orders", 8080) as registration:
            await registration.wait_registered()
            assert registration.state is RegistrationState.REGISTERED
        assert static.registrations == [registration]


@on_loop
async def test_a_term_is_lost_when_the_test_says_so() -> None:
    static = static_client()
    client = AsyncClient.of(static)
    with pytest.raises(LeadershipLost, match="lost in a test"):
        async with client.election("report").campaign():
            static.lose_leadership("report")
            await asyncio.Event().wait()
    fences: list[int] = []

    async def work(term: AsyncTerm) -> str:
        fences.append(term.fence)
        if len(fences) == 1:
            static.lose_leadership("report")
            await asyncio.Event().wait()
        return "done"

    assert await client.election("report").run(work) == "done"
    assert len(fences) == 2
    states: list[object] = []
    client.on_change(states.append)
    await client.aclose()
    await until(lambda: client.state == "CLOSED")


@on_loop
async def test_start_goes_on_after_something_that_its_function_awaits_was_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = AsyncClient.of(static_client())
    election = client.election("report")
    fences: list[int] = []

    async def work(term: AsyncTerm) -> None:
        fences.append(term.fence)
        if len(fences) == 1:
            other = asyncio.create_task(asyncio.sleep(60.0))
            other.cancel()
            await other
        await asyncio.Event().wait()

    election.start(work)
    await until(lambda: len(fences) == 2)
    assert "raised; it campaigns again" in caplog.text
    await client.aclose()


def test_the_end_of_a_loop_ends_start() -> None:
    client = AsyncClient.of(static_client())
    election = client.election("report")

    async def lead() -> None:
        leading = asyncio.Event()

        async def work(_: AsyncTerm) -> None:
            leading.set()
            await asyncio.Event().wait()

        election.start(work)
        await leading.wait()

    for _ in range(2):
        asyncio.run(lead())
        assert election.term is None
    client.sync.close()
