"""Calls with retries and hedges on an event loop."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.integration.aio.conftest import MakeAsync
from tests.integration.aio.loops import on_loop, until
from tests.support import LIMIT
from zkdiscovery import AsyncService, Instance, OperationTimeout


@pytest.fixture
def make_view(make_async: MakeAsync) -> MakeAsync:
    """Makes a view of so many instances."""

    async def make(count: int = 2) -> AsyncService:
        client = make_async()
        for number in range(count):
            client.register("payments", 8080 + number, id="abc"[number], host="10.0.0.1")
        return await client.discover("payments", balancer="round_robin").wait_ready(LIMIT, at_least=count)

    return make  # type: ignore[return-value]


def counts(view: AsyncService) -> dict[str, tuple[int, int, int]]:
    return {it.instance.id: (it.successes, it.failures, it.in_flight) for it in view.explain()}


@on_loop
async def test_a_retry_goes_elsewhere(make_view: MakeAsync) -> None:
    view = await make_view()
    asked: list[str] = []

    async def fetch(instance: Instance) -> str:
        asked.append(instance.id)
        if len(asked) == 1:
            raise ConnectionError("refused")
        return instance.id

    assert await view.call(fetch, retry_on=ConnectionError) == asked[1] != asked[0]
    assert counts(view) == {asked[0]: (0, 1, 0), asked[1]: (1, 0, 0)}


@on_loop
async def test_the_last_error_tells_what_was_tried(make_view: MakeAsync) -> None:
    view = await make_view()

    async def fetch(_: Instance) -> str:
        raise ConnectionError("refused")

    with pytest.raises(ConnectionError) as caught:
        await view.call(fetch, retry_on=ConnectionError, attempts=3)
    (note,) = caught.value.__notes__
    assert note.count("ConnectionError after") == 3
    assert "3 attempts at most" in note


@on_loop
async def test_a_call_that_takes_too_long_is_cancelled_and_counts_as_a_failure(make_view: MakeAsync) -> None:
    view = await make_view(1)
    cancelled = asyncio.Event()

    async def hang(_: Instance) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(OperationTimeout, match=r"call of 'payments' not answered within 0\.05 s: no answer yet from a"):
        await view.call(hang, timeout=0.05)
    assert cancelled.is_set()
    assert counts(view) == {"a": (0, 1, 0)}


@on_loop
async def test_a_call_that_its_caller_cancels_counts_neither_way(make_view: MakeAsync) -> None:
    view = await make_view(1)
    begun = asyncio.Event()

    async def hang(_: Instance) -> None:
        begun.set()
        await asyncio.Event().wait()

    for hedge in (None, 5.0):
        begun.clear()
        call = asyncio.create_task(view.call(hang, hedge=hedge))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert counts(view) == {"a": (0, 0, 0)}


@on_loop
async def test_a_function_gets_the_time_that_is_left(make_view: MakeAsync) -> None:
    view = await make_view(1)

    async def fetch(_: Instance, *, timeout: float = 7.0) -> float:
        return timeout

    assert await view.call(fetch, timeout=60.0) == 7.0
    assert 0.0 < await view.call(fetch, timeout=5.0) <= 5.0


@on_loop
async def test_a_hedge_asks_another_and_cancels_the_slower_one(make_view: MakeAsync) -> None:
    view = await make_view()
    asked: list[str] = []
    cancelled: list[str] = []

    async def fetch(instance: Instance) -> str:
        asked.append(instance.id)
        if len(asked) == 1:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(instance.id)
        return instance.id

    assert await view.call(fetch, hedge=0.02) == asked[1] != asked[0]
    assert cancelled == [asked[0]]
    assert counts(view) == {asked[0]: (0, 0, 0), asked[1]: (1, 0, 0)}


@on_loop
@pytest.mark.parametrize("timeout", [None, 0.1])
async def test_a_hedged_call_does_not_wait_for_who_swallows_its_cancellation(
    make_view: MakeAsync, timeout: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither for a good answer nor for the end of its time."""
    view = await make_view()
    ended = asyncio.Event()
    asked: list[str] = []

    async def fetch(instance: Instance) -> str:
        asked.append(instance.id)
        if timeout is None and len(asked) == 2:
            return "good"
        while not ended.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await ended.wait()
        return "late"

    call = view.call(fetch, hedge=0.02, timeout=timeout)
    if timeout is None:
        assert await asyncio.wait_for(call, LIMIT) == "good"
    else:
        with pytest.raises(OperationTimeout, match="no answer yet"):
            await asyncio.wait_for(call, LIMIT)
    left_behind = caplog.text.count("runs on, 1 s after its call of 'payments' has cancelled it")
    assert left_behind == (1 if timeout is None else 2)
    assert counts(view)[asked[0]] == (0, 0, 1)
    ended.set()
    await until(lambda: counts(view)[asked[0]][2] == counts(view)[asked[1]][2] == 0)


@on_loop
async def test_a_failing_hedge_waits_for_the_other(make_view: MakeAsync) -> None:
    view = await make_view()
    failed = asyncio.Event()
    asked: list[str] = []

    async def fetch(instance: Instance) -> str:
        asked.append(instance.id)
        if len(asked) == 1:
            await failed.wait()
            return "slow"
        failed.set()
        raise ValueError("not to be retried")

    assert await view.call(fetch, hedge=0.02) == "slow"
    assert len(asked) == 2


@on_loop
async def test_a_hedged_call_ends_with_its_time(make_view: MakeAsync) -> None:
    view = await make_view()

    async def hang(_: Instance) -> None:
        await asyncio.Event().wait()

    with pytest.raises(OperationTimeout, match="no answer yet from"):
        await view.call(hang, hedge=0.02, timeout=0.1)
    assert {it[2] for it in counts(view).values()} == {0}


@on_loop
async def test_what_cant_be_awaited_is_refused(make_view: MakeAsync) -> None:
    view = await make_view(1)
    with pytest.raises(TypeError, match=r"must be an `async def` function, and .*lambda.* returned str"):
        await view.call(lambda instance: instance.id)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="must be an `async def` function, not int"):
        await view.call(5)  # type: ignore[call-overload]
    assert counts(view) == {"a": (0, 0, 0)}
