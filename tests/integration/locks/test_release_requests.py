"""Requests for the release of a lock: every holder is told, and none loses its hold."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.loops import on_loop, until
from tests.integration.election.helpers import settle
from tests.integration.locks.conftest import MakeAsync, Queue
from tests.support import LIMIT, Recorder, Truth, counting, wait_until
from zkdiscovery import AsyncHold, Hold, LockTimeout
from zkdiscovery.session.clock import lease_now

NAME = "invoice"
MESSAGE = b"__REVOKE__"  # of Curator


def test_a_holder_is_told_and_decides(make_client: MakeClient, queue: Queue, truth: Truth, parent: str) -> None:
    holding, asking = make_client().lock(NAME), make_client().lock(NAME)
    told: Recorder[Hold] = Recorder()
    subscription = holding.on_release_requested(told)
    assert asking.request_release(LIMIT) == []
    with holding.hold(LIMIT) as hold:
        path = f"{parent}/{queue()[0]}"
        before = truth.get(path)
        assert before is not None
        for number in (1, 2):
            (asked,) = asking.request_release(LIMIT)
            assert (asked.id.encode(), asked.fence) == (before.data, hold.fence)
            assert told.wait(lambda items, number=number: len(items) == number)[-1] is hold
            truth.wait(path, lambda node: node is not None and node.data == before.data)  # it shows who holds again
        assert not hold.lost
        assert asking.try_acquire() is None
        subscription.close()
        holding.on_release_requested(lambda hold: hold.release())
        asking.request_release(LIMIT)
        asking.acquire(LIMIT).release()
        assert hold.reason == "released"


def test_a_request_costs_a_few_messages(make_client: MakeClient) -> None:
    holder, asker = make_client(), make_client()
    lock, told = holder.lock(NAME), Recorder[Hold]()
    lock.on_release_requested(told)
    with lock:
        settle(holder)
        other = asker.lock(NAME)
        other.holders()
        with counting(holder) as theirs, counting(asker) as ours:
            other.request_release(LIMIT)
            told.wait(lambda items: len(items) == 1)
            settle(holder)
        assert {name: ours[name] for name in ("GetChildren", "SetData")} == {"GetChildren": 1, "SetData": 1}
        assert (theirs["GetChildren"], theirs["SetData"]) == (0, 0)


def test_a_request_that_came_before_the_subscription(make_client: MakeClient) -> None:
    client = make_client()
    lock = client.lock(NAME)
    with lock as hold:
        make_client().lock(NAME).request_release(LIMIT)
        wait_until(lambda: lock._place is not None and lock._place.requested is hold)
        told: Recorder[Hold] = Recorder()
        lock.on_release_requested(told)
        assert told.wait(lambda items: len(items) == 1) == [hold]
    with lock:  # another hold, for which nobody has asked
        settle(client)
        later: Recorder[Hold] = Recorder()
        with lock.on_release_requested(later):
            make_client().lock(NAME).request_release(LIMIT)
            later.wait(lambda items: len(items) == 1)
    assert len(told.items) == 2


def test_one_that_waits_is_told_when_it_holds(make_client: MakeClient, queue: Queue, truth: Truth) -> None:
    """Curator's `Revoker` takes the node of anybody who stands in the queue."""
    first, waiter = make_client().lock(NAME).acquire(LIMIT), make_client()
    second, told = waiter.lock(NAME), Recorder[Hold]()
    second.on_release_requested(told)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second.acquire, LIMIT)
        wait_until(lambda: len(queue()) == 2)
        (waits,) = second.waiters(LIMIT)
        truth.set(waits.path, MESSAGE)
        wait_until(lambda: second._place is not None and second._place._request_came)
        assert told.items == []
        first.release()
        assert told.wait(lambda items: len(items) == 1) == [waiting.result(LIMIT)]


def test_what_is_no_request(make_client: MakeClient, queue: Queue, truth: Truth, parent: str) -> None:
    client = make_client()
    lock, told = client.lock(NAME), Recorder[Hold]()
    lock.on_release_requested(told)
    with lock as hold:
        path = f"{parent}/{queue()[0]}"
        before = truth.get(path)
        assert before is not None
        truth.set(path, b"__REVOKE__!")
        truth.wait(path, lambda node: node is not None and node.data == before.data)
        settle(client)
        assert told.items == []
        assert not hold.lost
    wrong: Any = "fn"
    with pytest.raises(TypeError):
        lock.on_release_requested(wrong)


def test_readers_and_writers(make_client: MakeClient) -> None:
    sides = [make_client().read_write_lock(NAME) for _ in range(2)]
    told: list[Recorder[Hold]] = []
    asking = make_client().read_write_lock(NAME)
    for side in sides:
        told.append(Recorder())
        side.read.on_release_requested(told[-1])
    with sides[0].read.hold(LIMIT) as first, sides[1].read.hold(LIMIT) as second:
        assert {who.fence for who in asking.write.request_release(LIMIT)} == {first.fence, second.fence}
        for recorder, hold in zip(told, (first, second), strict=True):
            assert recorder.wait(lambda items: len(items) == 1) == [hold]
    writing: Recorder[Hold] = Recorder()
    sides[0].write.on_release_requested(writing)
    with sides[0].write.hold(LIMIT) as hold:
        asking.read.request_release(LIMIT)
        assert writing.wait(lambda items: len(items) == 1) == [hold]
    assert [len(recorder.items) for recorder in told] == [1, 1]


def test_semaphores(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    """Each holder is told. Whoever waits at the gate is not, whatever is written there."""
    root = f"{namespace}/semaphores/gpu"
    holding = [make_client().semaphore("gpu", 2) for _ in range(2)]
    told: list[Recorder[Hold]] = [Recorder(), Recorder()]
    for semaphore, recorder in zip(holding, told, strict=True):
        semaphore.on_release_requested(recorder)
    holds = [semaphore.acquire(LIMIT) for semaphore in holding]
    waiter = make_client()
    waiting, never = waiter.semaphore("gpu"), Recorder[Hold]()
    waiting.on_release_requested(never)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(waiting.acquire, LIMIT)
        wait_until(lambda: len(truth.children(f"{root}/leases")) == 3)
        (gate,) = truth.children(f"{root}/locks")
        truth.set(f"{root}/locks/{gate}", MESSAGE)
        assert len(waiting.request_release(LIMIT)) == 2
        for recorder, hold in zip(told, holds, strict=True):
            assert recorder.wait(lambda items: len(items) == 1) == [hold]
        settle(waiter)
        holds[0].release()
        assert not result.result(LIMIT).lost
        settle(waiter)
        assert never.items == []


def test_a_callback_that_raises_stays_subscribed(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    lock, told = make_client().lock(NAME), Recorder[Hold]()

    def fail(hold: Hold) -> None:
        told(hold)
        raise KeyError("of the user")

    lock.on_release_requested(fail)
    with lock as hold:
        for number in (1, 2):
            make_client().lock(NAME).request_release(LIMIT)
            told.wait(lambda items, number=number: len(items) == number)
            wait_until(lambda number=number: caplog.text.count("of the user") >= number)
        assert not hold.lost


def test_a_callback_that_blocks_delays_nothing_else(
    make_client: MakeClient, queue: Queue, truth: Truth, parent: str
) -> None:
    """The hold is renewed, and other locks of the client are taken. Requests that come meanwhile are one."""
    client = make_client()
    lock, told, go_on = client.lock(NAME), Recorder[Hold](), threading.Event()

    def block(hold: Hold) -> None:
        told(hold)
        assert go_on.wait(LIMIT)

    lock.on_release_requested(block)
    asking = make_client().lock(NAME)
    with lock as hold:
        asking.request_release(LIMIT)
        told.wait(lambda items: len(items) == 1)
        path = f"{parent}/{queue()[0]}"
        for _ in range(3):
            asking.request_release(LIMIT)
            truth.wait(path, lambda node: node is not None and node.data != MESSAGE)  # it was seen
        with client.lock("another").hold(LIMIT):
            pass
        end = lease_now() + hold.remaining
        wait_until(lambda: lease_now() + hold.remaining > end + 0.05)
        go_on.set()
        told.wait(lambda items: len(items) >= 2)
        settle(client)
        assert len(told.items) == 2
        hold.check()


@on_loop
async def test_on_a_loop(make_async: MakeAsync, queue: Queue) -> None:
    holding, asking = make_async().lock(NAME), make_async().lock(NAME)
    told: list[AsyncHold] = []

    async def release(hold: AsyncHold) -> None:
        await asyncio.sleep(0)
        told.append(hold)
        if len(told) == 2:
            hold.release()

    subscription = holding.on_release_requested(release)
    assert await asking.request_release() == []
    async with holding.hold(LIMIT) as hold:
        assert [who.fence for who in await asking.request_release()] == [hold.fence]
        await until(lambda: len(told) == 1)
        with pytest.raises(LockTimeout):
            await asking.acquire(0.2)
        await asking.request_release()
        (await asking.acquire(LIMIT)).release()
        assert hold.lost
    assert told == [hold, hold]
    subscription.close()
    async with holding:
        await asking.request_release()
        assert len(told) == 2
