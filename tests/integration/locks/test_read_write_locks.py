"""Readers hold it together, a writer alone; on threads and on a loop."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.loops import on_loop, until
from tests.integration.election.helpers import settle
from tests.integration.locks.conftest import MakeAsync, Queue
from tests.support import LIMIT, Truth, counting, wait_until
from zkdiscovery import Hold, LockTimeout

NAME = "invoice"


class Inside:
    """Who is inside, and whether that was ever wrong."""

    def __init__(self) -> None:
        self.readers = self.writers = self.most_readers = 0
        self.wrong: list[tuple[int, int]] = []

    def enter(self, *, reader: bool) -> None:
        self.readers += reader
        self.writers += not reader
        self.most_readers = max(self.readers, self.most_readers)
        if self.writers > 1 or (self.writers and self.readers):
            self.wrong.append((self.readers, self.writers))

    def leave(self, *, reader: bool) -> None:
        self.readers -= reader
        self.writers -= not reader


def test_readers_overlap_and_a_writer_waits_for_all(make_client: MakeClient, queue: Queue) -> None:
    client = make_client()
    first, second, last = (client.read_write_lock(NAME) for _ in range(3))
    with first.read, second.read as second_hold:
        assert sorted(name[40:-10] for name in queue()) == ["__READ__"] * 2
        with pytest.raises(LockTimeout, match="the write lock 'invoice' was not free"):
            last.write.acquire(0.2)
        assert last.write.try_acquire() is None
        with ThreadPoolExecutor(2) as pool:
            writing = pool.submit(last.write.acquire, LIMIT)
            wait_until(lambda: len(queue()) == 3)
            late = pool.submit(last.read.acquire, LIMIT)  # fair: it does not pass the writer
            wait_until(lambda: len(queue()) == 4)
            assert len(first.read.holders()) == 2
            assert len(first.read.waiters()) == 2
            first.read._place.release()  # type: ignore[union-attr]
            wait_until(lambda: len(queue()) == 3)
            assert not writing.done()
            second_hold.release()
            hold = writing.result(LIMIT)
            assert [who.fence for who in last.write.holders()] == [hold.fence]
            assert not late.done()
            hold.release()
            late.result(LIMIT).release()
    wait_until(lambda: queue() == [])


def test_a_reader_waits_for_the_last_writer_ahead(
    make_client: MakeClient, queue: Queue, truth: Truth, parent: str
) -> None:
    """It does not begin when the first one goes, nor when one in the middle does."""
    client = make_client()
    with ThreadPoolExecutor(4) as pool:
        first = client.read_write_lock(NAME).write.acquire(LIMIT)
        writers = []
        for number in range(2):
            writers.append(pool.submit(client.read_write_lock(NAME).write.acquire, LIMIT))
            wait_until(lambda number=number: len(queue()) == 2 + number)
        reader = make_client()
        reading = pool.submit(reader.read_write_lock(NAME).read.acquire, LIMIT)
        wait_until(lambda: len(queue()) == 4)
        settle(reader)
        with counting(reader) as counts:
            first.release()
            second = writers[0].result(LIMIT)
            second.release()
            third = writers[1].result(LIMIT)
            settle(reader)
        assert counts["GetChildren"] == 0
        assert not reading.done()
        third.release()
        assert reading.result(LIMIT).fence > third.fence


def test_a_writer_ahead_that_dies_in_the_queue(make_client: MakeClient, queue: Queue) -> None:
    """The reader lists again, and stands behind the writer that is left."""
    with ThreadPoolExecutor(3) as pool:
        first = make_client().read_write_lock(NAME).write.acquire(LIMIT)
        dying = make_client()
        pool.submit(dying.read_write_lock(NAME).write.acquire, LIMIT)
        wait_until(lambda: len(queue()) == 2)
        reader = make_client()
        reading = pool.submit(reader.read_write_lock(NAME).read.acquire, LIMIT)
        wait_until(lambda: len(queue()) == 3)
        settle(reader)
        dying.close()
        wait_until(lambda: len(queue()) == 2)
        settle(reader)
        assert not reading.done()
        first.release()
        reading.result(LIMIT).release()


def test_a_lock_of_that_name_is_a_writer(make_client: MakeClient) -> None:
    client = make_client()
    with client.lock(NAME):
        assert client.read_write_lock(NAME).read.try_acquire() is None
    with client.read_write_lock(NAME).read:
        assert client.lock(NAME).try_acquire() is None


def test_many_turns_on_threads(make_client: MakeClient, queue: Queue) -> None:
    clients = [make_client() for _ in range(2)]
    inside, changed, chosen = Inside(), threading.Lock(), random.Random(7)
    fences: list[int] = []

    def turn(hold: Hold, *, reader: bool) -> None:
        with changed:
            inside.enter(reader=reader)
            if not reader:
                fences.append(hold.fence)
        hold.wait_lost(0.002)  # the work
        assert not hold.lost
        with changed:
            inside.leave(reader=reader)

    def take(number: int, kinds: list[bool]) -> None:
        lock = clients[number % 2].read_write_lock(NAME)
        for reader in kinds:
            side = lock.read if reader else lock.write
            with side.hold(LIMIT) as hold:
                turn(hold, reader=reader)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(take, n, [chosen.random() < 0.7 for _ in range(15)]) for n in range(6)]:
            done.result(3 * LIMIT)
    assert inside.wrong == []
    assert inside.most_readers > 1
    assert fences == sorted(fences)
    assert queue() == []


@on_loop
async def test_many_turns_on_a_loop(make_async: MakeAsync, queue: Queue) -> None:
    client, inside, chosen = make_async(), Inside(), random.Random(11)

    async def take(kinds: list[bool]) -> None:
        lock = client.read_write_lock(NAME)
        for reader in kinds:
            async with (lock.read if reader else lock.write).hold(LIMIT):
                inside.enter(reader=reader)
                await asyncio.sleep(0.002)
                inside.leave(reader=reader)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(take([chosen.random() < 0.7 for _ in range(10)]))
    assert inside.wrong == []
    assert inside.most_readers > 1
    assert queue() == []


@on_loop
async def test_a_reader_that_is_cancelled_leaves_nothing(make_async: MakeAsync, queue: Queue) -> None:
    async with make_async().read_write_lock(NAME).write:
        task = asyncio.create_task(make_async().read_write_lock(NAME).read.acquire(LIMIT))
        await until(lambda: len(queue()) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(queue()) == 1
