"""A semaphore: never more holds than its limit, which is stored; on threads and on a loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.loops import on_loop, until
from tests.integration.election.helpers import settle
from tests.integration.locks.conftest import MakeAsync
from tests.support import LIMIT, Truth, wait_until
from zkdiscovery import InvalidSettings, LockTimeout, UndecodableNode
from zkdiscovery.locks import limit

NAME = "gpu"


@pytest.fixture
def root(namespace: str) -> str:
    """Where the nodes of the semaphore stand."""
    return f"{namespace}/semaphores/{NAME}"


def standing(truth: Truth, root: str) -> tuple[int, int]:
    """Nodes at the gate, and leases."""
    return len(truth.children(f"{root}/locks")), len(truth.children(f"{root}/leases"))


def test_up_to_the_limit(make_client: MakeClient, truth: Truth, root: str) -> None:
    client = make_client()
    semaphore = client.semaphore(NAME, 2)
    first, second = semaphore.acquire(LIMIT), client.semaphore(NAME).acquire(LIMIT)
    assert len({first.fence, second.fence}) == 2
    node = truth.get(f"{root}/limit")
    assert node is not None
    assert (node.data, node.stat.ephemeral_owner) == (b"2", 0)
    third = client.semaphore(NAME, 2)
    assert third.try_acquire() is None
    with pytest.raises(LockTimeout, match="the semaphore 'gpu' was not free"):
        third.acquire(0.2)
    wait_until(lambda: standing(truth, root) == (0, 2))
    assert [who.fence for who in third.holders()] == [first.fence, second.fence]
    first.release()
    with third.hold(LIMIT):
        assert third.waiters() == []
    second.release()
    wait_until(lambda: standing(truth, root) == (0, 0))


def test_whichever_holder_leaves_the_next_one_begins(make_client: MakeClient, truth: Truth, root: str) -> None:
    client = make_client()
    holds = [client.semaphore(NAME, 3).acquire(LIMIT) for _ in range(3)]
    waiting = make_client()
    with ThreadPoolExecutor(1) as pool:
        for left in (1, 0, 0):
            result = pool.submit(waiting.semaphore(NAME).acquire, LIMIT)
            wait_until(lambda: standing(truth, root) == (1, 4))
            settle(waiting)
            holds.pop(left).release()
            holds.append(result.result(LIMIT))


def test_another_limit_is_an_error(make_client: MakeClient, truth: Truth, root: str) -> None:
    client = make_client()
    with pytest.raises(InvalidSettings, match="has no limit yet"):
        client.semaphore(NAME).acquire(LIMIT)
    client.semaphore(NAME, 2).acquire(LIMIT).release()
    with pytest.raises(InvalidSettings, match=r"has the limit 2, and 3 was given.*set_limit\(3\)"):
        client.semaphore(NAME, 3).acquire(LIMIT)
    truth.set(f"{root}/limit", b"many")
    with pytest.raises(UndecodableNode, match="holds no limit of a semaphore"):
        client.semaphore(NAME, 2).acquire(LIMIT)
    wait_until(lambda: standing(truth, root) == (0, 0))
    for number in (0, -1, 1.5, True, 2**31):
        with pytest.raises(InvalidSettings, match="the limit of a semaphore must be"):
            client.semaphore(NAME, number)  # type: ignore[arg-type]


def test_a_limit_that_changes(make_client: MakeClient, truth: Truth, root: str) -> None:
    client, waiting = make_client(), make_client()
    semaphore = client.semaphore(NAME, 1)
    with ThreadPoolExecutor(1) as pool:
        first = semaphore.acquire(LIMIT)
        result = pool.submit(waiting.semaphore(NAME).acquire, LIMIT)
        wait_until(lambda: standing(truth, root) == (1, 2))
        settle(waiting)
        client.semaphore(NAME).set_limit(2)
        second = result.result(LIMIT)
        client.semaphore(NAME).set_limit(1)
        assert not first.lost
        assert not second.lost
        result = pool.submit(waiting.semaphore(NAME).acquire, LIMIT)
        wait_until(lambda: standing(truth, root) == (1, 3))
        settle(waiting)
        first.release()
        wait_until(lambda: standing(truth, root) == (1, 2))
        settle(waiting)
        assert not result.done()
        second.release()
        result.result(LIMIT)


def test_a_limit_that_is_set_while_another_is_stored(
    make_client: MakeClient, truth: Truth, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first user stores its limit between the write, which finds none, and the creation."""
    make_container = limit.make_container

    def late(*args: Any, **options: Any) -> None:
        make_container(*args, **options)
        truth.create(f"{root}/limit", b"2")

    monkeypatch.setattr(limit, "make_container", late)
    make_client().semaphore(NAME).set_limit(3)
    node = truth.get(f"{root}/limit")
    assert node is not None
    assert node.data == b"3"


def test_the_proof_checks_the_limit(make_client: MakeClient, truth: Truth, root: str) -> None:
    """A limit that was lowered between the look and the proof lets nobody in."""
    client = make_client()
    hold = client.semaphore(NAME, 2).acquire(LIMIT)
    leases = client.slot.current().session.leases
    prove, lowered = leases.prove, threading.Event()

    def late(path: str, **options: object) -> object:
        if "/leases/" in path and not lowered.is_set():
            truth.set(f"{root}/limit", b"1")
            lowered.set()
        return prove(path, **options)  # type: ignore[arg-type]

    leases.prove = late  # type: ignore[method-assign, assignment]
    with pytest.raises(LockTimeout):
        client.semaphore(NAME).acquire(1.0)
    assert lowered.is_set()
    assert not hold.lost


def test_many_turns_on_threads(make_client: MakeClient, truth: Truth, root: str) -> None:
    clients = [make_client() for _ in range(2)]
    inside = most = 0
    changed = threading.Lock()

    def take(number: int) -> None:
        nonlocal inside, most
        for _ in range(8):
            with clients[number % 2].semaphore(NAME, 3).hold(LIMIT) as hold:
                with changed:
                    inside += 1
                    most = max(most, inside)
                hold.wait_lost(0.05)
                with changed:
                    inside -= 1

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(take, number) for number in range(8)]:
            done.result(3 * LIMIT)
    assert 1 < most <= 3
    wait_until(lambda: standing(truth, root) == (0, 0))


@on_loop
async def test_many_turns_on_a_loop(make_async: MakeAsync, truth: Truth, root: str) -> None:
    client = make_async()
    inside = most = 0

    async def take() -> None:
        nonlocal inside, most
        for _ in range(4):
            async with client.semaphore(NAME, 3).hold(LIMIT):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.05)
                inside -= 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(take())
    assert 1 < most <= 3
    await until(lambda: standing(truth, root) == (0, 0))
    await client.semaphore(NAME).set_limit(5)
    assert len(await client.semaphore(NAME, 5).holders()) == 0


@on_loop
async def test_a_wait_that_is_cancelled_leaves_nothing(make_async: MakeAsync, truth: Truth, root: str) -> None:
    client = make_async()
    hold = await client.semaphore(NAME, 1).acquire(LIMIT)
    tasks = [asyncio.create_task(client.semaphore(NAME).acquire(LIMIT)) for _ in range(2)]
    await until(lambda: standing(truth, root) == (2, 2))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    await until(lambda: standing(truth, root) == (0, 1))
    assert not hold.lost
