"""A barrier: a group enters together and leaves together, on threads and on a loop."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.loops import cancel_at_each_step, on_loop, until
from tests.integration.election.helpers import settle
from tests.integration.locks.conftest import MakeAsync
from tests.support import LIMIT, Truth, counting, wait_until
from zkdiscovery import Client, ClientClosed, HoldLost, InvalidName, InvalidSettings, OperationTimeout

Expire = Callable[[Client], object]
Present = Callable[[], list[str]]

NAME = "load"


@pytest.fixture
def present(truth: Truth, namespace: str) -> Present:
    """The nodes of the parties."""
    return lambda: truth.children(f"{namespace}/barriers/{NAME}")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def wait_present(present: Present, count: int) -> None:
    wait_until(lambda: len(present()) == count)


def test_a_group_enters_and_leaves(make_client: MakeClient, present: Present, pool: ThreadPoolExecutor) -> None:
    barriers = [make_client().barrier(NAME, 3) for _ in range(3)]
    entering = [pool.submit(barrier.enter, LIMIT) for barrier in barriers[:2]]
    wait_present(present, 2)
    assert not any(future.done() for future in entering)
    assert "waiting" in repr(barriers[0])
    barriers[2].enter(LIMIT)
    for future in entering:
        future.result(LIMIT)
    assert "entered" in repr(barriers[0])
    leaving = [pool.submit(barrier.leave, LIMIT) for barrier in barriers[:2]]
    wait_until(lambda: len(present()) < 3)
    assert not any(future.done() for future in leaving)
    barriers[2].leave(LIMIT)
    for future in leaving:
        future.result(LIMIT)
    assert present() == []
    assert "not entered" in repr(barriers[0])


@pytest.mark.parametrize("parties", [1, 2, 8])
def test_rounds(make_client: MakeClient, present: Present, parties: int) -> None:
    """Nobody is a round ahead while another is inside, and none passes alone (Curator's did)."""
    rounds, clients = 5, [make_client(), make_client()]
    inside: Counter[int] = Counter()  # by round
    ended: Counter[int] = Counter()
    lock = threading.Lock()
    problems: list[str] = []

    def take_part(number: int) -> None:
        barrier = clients[number % 2].barrier(NAME, parties)
        for each in range(rounds):
            barrier.enter(LIMIT)
            if each and ended[each - 1] != parties:
                problems.append(f"round {each} began after {ended[each - 1]} of {parties} had ended the one before")
            with lock:
                inside[each] += 1
            time.sleep(0.001 * (number % 3))
            with lock:
                ended[each] += 1
            barrier.leave(LIMIT)
            if ended[each] != parties:
                problems.append(f"{number} left round {each} with {ended[each]} of {parties}")

    threads = [threading.Thread(target=take_part, args=(number,)) for number in range(parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT)
    assert problems == []
    assert inside == dict.fromkeys(range(rounds), parties)
    assert present() == []


def test_a_block(make_client: MakeClient, present: Present, pool: ThreadPoolExecutor) -> None:
    clients = [make_client(), make_client()]
    inside = threading.Barrier(2)

    def work(client: Client) -> None:
        with client.barrier(NAME, 2):
            inside.wait(LIMIT)

    for future in [pool.submit(work, client) for client in clients]:
        future.result(LIMIT)
    assert present() == []


def test_a_block_that_raises_waits_for_nobody(
    make_client: MakeClient, present: Present, pool: ThreadPoolExecutor
) -> None:
    mine, other = make_client().barrier(NAME, 2), make_client().barrier(NAME, 2)
    entering = pool.submit(other.enter, LIMIT)
    with pytest.raises(KeyError), mine:
        raise KeyError
    entering.result(LIMIT)
    wait_present(present, 1)
    other.leave(LIMIT)
    assert present() == []


def test_twice_as_many_make_two_groups(make_client: MakeClient, present: Present, pool: ThreadPoolExecutor) -> None:
    clients = [make_client() for _ in range(4)]
    barriers = [clients[number % 4].barrier(NAME, 4) for number in range(8)]
    for future in [pool.submit(barrier.enter, LIMIT) for barrier in barriers]:
        future.result(LIMIT)
    groups = Counter(barrier._party.group for barrier in barriers if barrier._party)
    assert sorted(groups.values()) == [4, 4]
    first = next(iter(groups))
    ours = [barrier for barrier in barriers if barrier._party and barrier._party.group == first]
    for future in [pool.submit(barrier.leave, LIMIT) for barrier in ours]:
        future.result(LIMIT)  # although the other group is still inside
    assert len(present()) == 4


def test_one_more_waits_for_the_next_group(make_client: MakeClient, present: Present, pool: ThreadPoolExecutor) -> None:
    with ExitStack() as stack:
        for barrier in (make_client().barrier(NAME, 1), make_client().barrier(NAME, 1)):
            stack.enter_context(barrier)
        assert len(present()) == 2
    barriers = [make_client().barrier(NAME, 2) for _ in range(3)]
    entering = [pool.submit(barriers[number].enter, LIMIT) for number in range(2)]
    for future in entering:
        future.result(LIMIT)
    with pytest.raises(OperationTimeout, match=r"did not open within 0\.3 s: 1 of 2 parties were there"):
        barriers[2].enter(0.3)
    wait_present(present, 2)


def test_who_gives_up_leaves_nothing(make_client: MakeClient, present: Present, pool: ThreadPoolExecutor) -> None:
    mine, other = make_client().wait_connected(LIMIT).barrier(NAME, 2), make_client().barrier(NAME, 2)
    with pytest.raises(OperationTimeout, match=r"the barrier 'load' did not open within 0\.2 s: 1 of 2 parties"):
        mine.enter(0.2)
    assert present() == []
    with pytest.raises(OperationTimeout):
        mine.enter(0.0)
    assert present() == []
    entering = pool.submit(other.enter, LIMIT)
    wait_present(present, 1)
    mine.enter(LIMIT)
    entering.result(LIMIT)
    with pytest.raises(OperationTimeout, match=r"was not left by all within 0\.2 s, but by this party: others of"):
        mine.leave(0.2)
    wait_present(present, 1)
    other.leave(LIMIT)
    assert present() == []


def test_a_party_that_dies_before_does_not_count(
    make_client: MakeClient, present: Present, pool: ThreadPoolExecutor, zkdiscovery_expire: Expire
) -> None:
    dying, second, third = make_client(), make_client(), make_client()
    lost = pool.submit(dying.barrier(NAME, 2).enter, LIMIT)
    wait_present(present, 1)
    zkdiscovery_expire(dying)
    with pytest.raises(HoldLost, match=r"not at the barrier 'load' any more: .*; the others may have begun"):
        lost.result(LIMIT)
    entering = pool.submit(second.barrier(NAME, 2).enter, LIMIT)
    wait_present(present, 1)
    settle(second)
    assert not entering.done()
    third.barrier(NAME, 2).enter(LIMIT)
    entering.result(LIMIT)


@pytest.mark.parametrize("dying", [0, 1, 2])
def test_a_party_that_dies_inside_has_left(
    make_client: MakeClient, present: Present, pool: ThreadPoolExecutor, zkdiscovery_expire: Expire, dying: int
) -> None:
    """Whichever it is: the first one in the order, whom the others wait for, too."""
    clients = [make_client() for _ in range(3)]
    barriers = [client.barrier(NAME, 3) for client in clients]
    entering = []
    for number, barrier in enumerate(barriers):
        entering.append(pool.submit(barrier.enter, LIMIT))
        wait_until(lambda number=number: len(present()) == number + 1)
    for future in entering:
        future.result(LIMIT)
    leaving = [pool.submit(barrier.leave, LIMIT) for number, barrier in enumerate(barriers) if number != dying]
    wait_until(lambda: len(present()) == (1 if dying == 0 else 2))
    assert not any(future.done() for future in leaving)
    zkdiscovery_expire(clients[dying])
    for future in leaving:
        future.result(LIMIT)
    with pytest.raises(HoldLost, match="was not at the barrier 'load' any more, so nobody waited for it"):
        barriers[dying].leave(LIMIT)
    assert present() == []


def test_another_number_of_parties(make_client: MakeClient, present: Present, pool: ThreadPoolExecutor) -> None:
    first = make_client().barrier(NAME, 2)
    entering = pool.submit(first.enter, LIMIT)
    wait_present(present, 1)
    with pytest.raises(InvalidSettings, match="the barrier 'load' is used with 2 parties, and 3 was given"):
        make_client().barrier(NAME, 3).enter(LIMIT)
    wait_present(present, 1)
    make_client().barrier(NAME, 2).enter(LIMIT)
    entering.result(LIMIT)


def test_no_herd(make_client: MakeClient, present: Present, pool: ThreadPoolExecutor) -> None:
    """However many there are, each one reads and writes a few times; only the first one of a group looks more often."""
    parties = 12
    clients = [make_client().wait_connected(LIMIT) for _ in range(parties)]
    barriers = [client.barrier(NAME, parties) for client in clients]
    with ExitStack() as stack:
        counts = [stack.enter_context(counting(client)) for client in clients]
        entering: list[Future[None]] = []
        for number, barrier in enumerate(barriers):
            entering.append(pool.submit(barrier.enter, LIMIT))
            wait_present(present, number + 1)
        for future in entering:
            future.result(LIMIT)
        for each in counts:
            assert each["GetChildren"] + each["MultiRead"] <= 5, each
        for each in counts:
            each.clear()
        leaving = [pool.submit(barrier.leave, LIMIT) for barrier in barriers]
        for future in leaving:
            future.result(LIMIT)
        assert present() == []
        for each in counts[1:]:
            assert each["GetChildren"] + each["MultiRead"] <= 6, each
        assert counts[0]["GetChildren"] <= parties + 1


def test_closing(make_client: MakeClient, present: Present, pool: ThreadPoolExecutor) -> None:
    clients = [make_client() for _ in range(3)]
    barriers = [client.barrier(NAME, 2) for client in clients]
    entering = [pool.submit(barrier.enter, LIMIT) for barrier in barriers[:2]]
    for future in entering:
        future.result(LIMIT)
    waiting = pool.submit(barriers[2].enter, None)
    wait_present(present, 3)
    clients[2].close()
    with pytest.raises(ClientClosed):
        waiting.result(LIMIT)
    leaving = pool.submit(barriers[1].leave, LIMIT)
    clients[0].drain()  # as if it had left
    leaving.result(LIMIT)
    assert present() == []
    with pytest.raises(HoldLost, match="the client was closed"):
        barriers[0].leave(LIMIT)
    with pytest.raises(ClientClosed):
        clients[0].barrier(NAME, 2)


def test_it_is_one_party(make_client: MakeClient) -> None:
    barrier = make_client().barrier(NAME, 1)
    with pytest.raises(RuntimeError, match="this object has not entered the barrier 'load', so it can't leave it"):
        barrier.leave()
    with barrier, pytest.raises(RuntimeError, match="this object has entered the barrier 'load', or waits at it"):
        barrier.enter()
    with barrier:
        barrier.leave()
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(barrier)


@pytest.mark.parametrize("parties", [0, -1, 1.5, True, 1001, None])
def test_no_number_of_parties(make_client: MakeClient, parties: Any) -> None:
    with pytest.raises(InvalidSettings, match="the parties of a barrier must be an integer, from 1 to 1000"):
        make_client().barrier(NAME, parties)


@pytest.mark.parametrize("name", ["", "a/b", "/", ".", 5, None])
def test_no_name(make_client: MakeClient, name: Any) -> None:
    with pytest.raises(InvalidName, match="barrier name must"):
        make_client().barrier(name, 2)


@on_loop
async def test_on_a_loop(make_async: MakeAsync, make_client: MakeClient, present: Present) -> None:
    client = make_async()
    inside: list[int] = []

    async def take_part(number: int) -> None:
        async with client.barrier(NAME, 4):
            inside.append(number)
        assert len(inside) == 4  # all have left

    thread = asyncio.create_task(asyncio.to_thread(lambda: _take_part(make_client(), inside)))
    await asyncio.gather(*(take_part(number) for number in range(3)))
    await thread
    assert sorted(inside) == [0, 1, 2, 3]
    assert present() == []
    with pytest.raises(KeyError):
        async with client.barrier(NAME, 1):
            raise KeyError
    assert present() == []
    with pytest.raises(RuntimeError, match="has not entered"):
        await client.barrier(NAME, 1).leave()


def _take_part(client: Client, inside: list[int]) -> None:
    with client.barrier(NAME, 4):
        inside.append(3)


@pytest.mark.parametrize("step", ["enter", "leave"])
def test_cancelled_at_each_step(make_async: MakeAsync, present: Present, step: str) -> None:
    @on_loop
    async def run() -> None:
        client, other = make_async(), make_async().barrier(NAME, 2)
        barrier = client.barrier(NAME, 2)

        async def enter() -> None:
            with pytest.raises(OperationTimeout):
                await barrier.enter(0.05)

        async def leave() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(other.enter(LIMIT))
                await barrier.enter(LIMIT)
            try:
                with pytest.raises(OperationTimeout):
                    await barrier.leave(0.05)
            finally:
                await asyncio.shield(other.leave(LIMIT))

        async def nothing_left() -> None:
            for each in (barrier, other):
                if each._party is not None:
                    with pytest.raises((RuntimeError, OperationTimeout)):
                        await each.leave(0.0)
                        raise RuntimeError
            await until(lambda: present() == [])

        await cancel_at_each_step(enter if step == "enter" else leave, nothing_left)

    run()
