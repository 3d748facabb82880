"""Whatever is awaited is cancelled at each of its steps, and nothing is left behind: no znode, no waiter, no call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.integration.aio.conftest import MakeAsync
from tests.integration.aio.loops import cancel_at_each_step, on_loop, until
from tests.support import LIMIT, Truth, core_of
from zkdiscovery import AsyncClient, AsyncTerm, Instance, OperationTimeout


@pytest.fixture
def client(make_async: MakeAsync) -> AsyncClient:
    return make_async()


def waiters(client: AsyncClient) -> int:
    """How many operations wait for the session of a client."""
    return len(core_of(client.sync).session.changed._wakers)


def nodes(truth: Truth, namespace: str, kind: str, name: str) -> list[str]:
    return truth.children(f"{namespace}/{kind}/{name}")


@on_loop
async def test_waiting_for_a_connection(client: AsyncClient) -> None:
    async def after() -> None:
        assert waiters(client) == 0

    assert await cancel_at_each_step(lambda: client.wait_connected(LIMIT), after) >= 0


@on_loop
async def test_reads(client: AsyncClient) -> None:
    await client.wait_connected(LIMIT)

    async def after() -> None:
        assert await client.service_names(LIMIT) == []

    operations: list[Callable[[], Coroutine[Any, Any, object]]] = [
        client.service_names,
        client.election_names,
        lambda: client.instances("payments"),
        lambda: client.remove("payments", "a"),
        client.election("report").leader,
        client.election("report").candidates,
    ]
    for operation in operations:
        assert await cancel_at_each_step(operation, after) > 0


@on_loop
async def test_writes(client: AsyncClient) -> None:
    registration = await client.register("payments", 8080, id="a", host="10.0.0.1").wait_registered(LIMIT)

    async def after() -> None:
        await client.clear_override("payments", "a", timeout=LIMIT)
        assert [instance.weight for instance in await client.instances("payments")] == [1.0]

    assert await cancel_at_each_step(lambda: client.override("payments", "a", weight=3.0), after) > 0
    await registration.aclose()


@on_loop
async def test_waiting_for_a_registration(client: AsyncClient, truth: Truth, namespace: str) -> None:
    async def register() -> None:
        async with client.register("payments", 8080, id="a", host="10.0.0.1") as registration:
            await registration.wait_registered(LIMIT)

    async def after() -> None:
        await until(lambda: nodes(truth, namespace, "services", "payments") == [])
        assert waiters(client) == 0

    assert await cancel_at_each_step(register, after) > 0


@on_loop
async def test_a_registered_function(client: AsyncClient, truth: Truth, namespace: str) -> None:
    view = client.discover("payments")

    @client.registered("payments", 8080, id="a", host="10.0.0.1", ready="now")
    async def serve() -> None:
        await view.wait_ready(LIMIT)

    async def after() -> None:
        await until(lambda: nodes(truth, namespace, "services", "payments") == [])
        await until(lambda: not view.instances)
        assert waiters(client) == 0

    assert await cancel_at_each_step(serve, after) > 0


@on_loop
async def test_waiting_for_a_view_and_its_changes(client: AsyncClient) -> None:
    async def look() -> None:
        view = client.discover("payments")
        await view.wait_ready(LIMIT, at_least=0)
        async for _ in view.changes(0.05):
            pass

    async def after() -> None:
        assert waiters(client) == 0

    assert await cancel_at_each_step(look, after) > 0


@pytest.mark.parametrize("hedge", [None, 0.01])
@on_loop
async def test_calls(client: AsyncClient, hedge: float | None) -> None:
    for name in "ab":
        client.register("payments", 8080 + ord(name), id=name, host="10.0.0.1")
    view = await client.discover("payments").wait_ready(LIMIT, at_least=2)
    asked = 0

    async def fetch(_: Instance) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.03)
        if asked % 2:
            raise ConnectionError

    async def after() -> None:
        assert [report.in_flight for report in view.explain()] == [0, 0]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def call() -> Coroutine[Any, Any, None]:
        nonlocal asked
        asked = 0
        return view.call(fetch, retry_on=ConnectionError, hedge=hedge)

    assert await cancel_at_each_step(call, after) > 0


@on_loop
async def test_campaigns(client: AsyncClient, truth: Truth, namespace: str) -> None:
    election = client.election("report")

    async def lead() -> None:
        async with election.campaign(LIMIT) as term:
            await term.wait_lost(0.01)

    async def run() -> None:
        async def work(term: AsyncTerm) -> None:
            await term.wait_lost(0.01)

        await election.run(work, LIMIT)

    async def after() -> None:
        await until(lambda: nodes(truth, namespace, "elections", "report") == [])
        assert election.term is None
        assert waiters(client) == 0

    assert await cancel_at_each_step(lead, after) > 0
    assert await cancel_at_each_step(run, after) > 0


@on_loop
async def test_waiting_behind_a_leader(
    client: AsyncClient, make_async: MakeAsync, truth: Truth, namespace: str
) -> None:
    async with make_async().election("report").campaign(LIMIT):

        async def give_up() -> None:
            async with client.election("report").campaign(0.3):
                pass

        async def after() -> None:
            await until(lambda: len(nodes(truth, namespace, "elections", "report")) == 1)

        with pytest.raises(OperationTimeout, match="another candidate leads"):
            await cancel_at_each_step(give_up, after)


@on_loop
async def test_the_life_of_a_client(make_async: MakeAsync, truth: Truth, namespace: str) -> None:
    before = set(threading.enumerate())

    async def live() -> None:
        async with make_async() as client:
            await client.register("payments", 8080, id="a", host="10.0.0.1").wait_registered(LIMIT)
            await client.drain()

    async def after() -> None:
        await until(lambda: nodes(truth, namespace, "services", "payments") == [])
        await until(lambda: set(threading.enumerate()) <= before)

    assert await cancel_at_each_step(live, after) > 0
