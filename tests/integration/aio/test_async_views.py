"""Views and registrations on an event loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.conftest import MakeAsync
from tests.integration.aio.loops import on_loop, until
from tests.support import LIMIT
from zkdiscovery import (
    ClientClosed,
    NoInstanceAvailable,
    OperationTimeout,
    RegistrationConflict,
    RegistrationState,
    Status,
)
from zkdiscovery.testing import FaultProxy


@on_loop
async def test_changes_are_yielded_until_the_view_closes(make_async: MakeAsync) -> None:
    client = make_async()
    payments = client.discover("payments")
    seen: list[list[str]] = []

    async def follow() -> None:
        async for change in payments.changes():
            seen.append(sorted(change.delta))  # noqa: PERF401 - looked at meanwhile

    follower = asyncio.create_task(follow())
    await until(lambda: seen)
    registration = client.register("payments", 8080, id="a", host="10.0.0.1")
    await until(lambda: seen == [[], ["a"]])
    await registration.aclose()
    await until(lambda: len(seen) == 3)
    await payments.aclose()
    await asyncio.wait_for(follower, LIMIT)
    with pytest.raises(ClientClosed):
        payments.pick()


@on_loop
async def test_changes_end_after_a_quiet_time(make_async: MakeAsync) -> None:
    payments = make_async().discover("payments")
    await payments.wait_ready(LIMIT, at_least=0)
    assert [sorted(change.delta) async for change in payments.changes(0.05)] == [[]]


@on_loop
async def test_who_waits_is_told_why_there_is_nothing(make_async: MakeAsync) -> None:
    client = make_async()
    payments = client.discover("payments")
    with pytest.raises(NoInstanceAvailable, match="none is registered below"):
        await payments.wait_ready(0.3)
    waiting = asyncio.create_task(payments.wait_ready(LIMIT))
    await asyncio.sleep(0)
    await client.aclose()
    with pytest.raises(ClientClosed):
        await waiting


@on_loop
async def test_an_attempt_reports(make_async: MakeAsync) -> None:
    client = make_async()
    await client.register("payments", 8080, id="a", host="10.0.0.1").wait_registered(LIMIT)
    payments = await client.discover("payments").wait_ready(LIMIT)
    with pytest.raises(ConnectionError):
        async with payments.attempt() as attempt:
            assert attempt.instance.id == "a"
            raise ConnectionError
    (report,) = payments.explain()
    assert report.failures == 1


@on_loop
async def test_draining_waits_and_deregisters(make_async: MakeAsync) -> None:
    client = make_async()
    payments = client.discover("payments")
    registration = client.register("payments", 8080, id="a", host="10.0.0.1", drain_delay=0.2)
    await payments.wait_ready(LIMIT)
    begun = time.monotonic()
    draining = asyncio.create_task(registration.drain())
    await until(lambda: [instance.status for instance in payments.instances] == [Status.DRAINING])
    await draining
    assert time.monotonic() - begun >= 0.2
    assert registration.state is RegistrationState.CLOSED
    await until(lambda: not payments.instances)


@on_loop
async def test_a_drain_that_is_cancelled_deregisters_at_once(make_async: MakeAsync) -> None:
    client = make_async()
    payments = client.discover("payments")
    registration = client.register("payments", 8080, id="a", host="10.0.0.1")
    await payments.wait_ready(LIMIT)
    draining = asyncio.create_task(registration.drain(delay=3600.0))
    await until(lambda: [instance.status for instance in payments.instances] == [Status.DRAINING])
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    await until(lambda: not payments.instances)


@on_loop
async def test_waiting_for_a_registration_fails_as_on_threads(
    make_async: MakeAsync, make_client: MakeClient, zkdiscovery_proxy: FaultProxy
) -> None:
    make_client().register("payments", 8080, id="a", host="10.0.0.1").wait_registered(LIMIT)
    client = make_async()
    with pytest.raises(RegistrationConflict):
        await client.register("payments", 8081, id="a", host="10.0.0.1", on_conflict="refuse").wait_registered(LIMIT)
    waiting = client.register("payments", 8081, id="b", host="10.0.0.1")
    await waiting.aclose()
    with pytest.raises(ClientClosed):
        await waiting.wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    with pytest.raises(OperationTimeout, match="PENDING"):
        await make_async(zkdiscovery_proxy.address).register("payments", 8082).wait_registered(0.05)


@on_loop
async def test_a_thousand_waiters_need_no_thread_each(make_async: MakeAsync) -> None:
    client = make_async()
    payments = client.discover("payments")
    await client.wait_connected(LIMIT)
    before = threading.active_count()
    waiting = [asyncio.create_task(payments.wait_ready(LIMIT)) for _ in range(400)]
    waiting += [asyncio.create_task(payments.changes().__anext__()) for _ in range(300)]
    electing = [asyncio.create_task(client.election("report").campaign(LIMIT).__aenter__()) for _ in range(300)]
    await asyncio.sleep(0.2)
    assert threading.active_count() - before <= 4
    registration = client.register("payments", 8080, id="a", host="10.0.0.1")
    await asyncio.gather(*waiting)
    for task in electing:
        task.cancel()
    await asyncio.gather(*electing, return_exceptions=True)
    await registration.aclose()


@on_loop
async def test_the_decorator_registers_while_the_function_runs(make_async: MakeAsync) -> None:
    client = make_async()
    payments = client.discover("payments")

    @client.registered("payments", 8080, id="a", host="10.0.0.1", ready="now")
    async def serve(registration: object) -> str:
        await payments.wait_ready(LIMIT)
        return repr(registration)

    assert "'a' of 'payments'" in await serve()
    await until(lambda: not payments.instances)

    @client.registered("payments", 8080)
    def plain() -> None:
        pass

    with pytest.raises(TypeError, match=r"must be an `async def` function, and .*plain returned NoneType"):
        await plain()
