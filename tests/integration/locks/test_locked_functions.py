"""`@client.locked`: functions that run while the lock is held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.loops import on_loop
from tests.integration.locks.conftest import MakeAsync, Queue
from tests.support import LIMIT, wait_epoch
from zkdiscovery import Client, HoldLost, InvalidName, LockTimeout

NAME = "invoice"


def test_on_threads(make_client: MakeClient, queue: Queue) -> None:
    client = make_client()
    inside: list[int] = []

    @client.locked(NAME, timeout=LIMIT)
    def work(number: int, *, more: int = 0) -> int:
        """Work."""
        inside.append(number)
        assert len(queue()) >= 1
        assert inside == [number]
        return inside.pop() + more

    assert work.__doc__ == "Work."
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda number: work(number, more=1), range(4))) == [1, 2, 3, 4]
    assert queue() == []


def test_skipped_or_too_late(make_client: MakeClient, queue: Queue) -> None:
    client, calls = make_client(), list[str]()
    skipping = client.locked(NAME, skip_if_held=True)(lambda: calls.append("skip"))
    waiting = client.locked(NAME, timeout=0.2)(lambda: calls.append("wait"))
    with client.lock(NAME):
        assert skipping() is None
        with pytest.raises(LockTimeout):
            waiting()
        with client.lock(NAME).hold_if_free() as hold:
            assert hold is None
    assert calls == []
    skipping()
    waiting()
    assert calls == ["skip", "wait"]
    with client.lock(NAME).hold_if_free() as hold:
        assert hold is not None
        assert len(queue()) == 1
    assert queue() == []


@pytest.mark.parametrize("skip", [False, True])
def test_a_loss_is_told(make_client: MakeClient, zkdiscovery_expire: Callable[[Client], object], skip: bool) -> None:
    client = make_client()

    @client.locked(NAME, skip_if_held=skip)
    def work() -> None:
        zkdiscovery_expire(client)
        wait_epoch(client, 2)

    with pytest.raises(HoldLost, match="the session expired"):
        work()


@pytest.mark.parametrize("skip", [False, True])
def test_on_a_loop(make_async: MakeAsync, queue: Queue, skip: bool) -> None:
    @on_loop
    async def run() -> None:
        client = make_async()

        @client.locked(NAME, skip_if_held=skip)
        async def work(number: int) -> int:
            await asyncio.sleep(0)
            return number

        results = await asyncio.gather(*(work(number) for number in range(4)))
        assert set(results) == ({0, 1, 2, 3} if not skip else set(results) & {0, 1, 2, 3, None})
        assert await work(7) == 7
        async with client.lock(NAME).hold_if_free() as hold:
            assert hold is not None
            assert await client.lock(NAME).try_acquire() is None
            if skip:
                assert await work(8) is None
        assert queue() == []

    run()


def test_what_can_not_be_decorated(make_client: MakeClient, make_async: MakeAsync) -> None:
    async def coroutine() -> None:
        """Nothing."""

    wrong: Any = 5
    with pytest.raises(TypeError, match=r"use AsyncClient\.locked"):
        make_client().locked(NAME)(coroutine)
    with pytest.raises(TypeError, match="the decorator needs a name"):
        make_client().locked(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(InvalidName):
        make_client().locked("a/b")
    with pytest.raises(TypeError, match="must be an `async def` function"):
        make_async().locked(NAME)(wrong)
