"""A lock on threads: held by one, in order of arrival; nothing is left of who gives up."""

from __future__ import annotations

import pickle
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import settle
from tests.integration.locks.conftest import Queue
from tests.support import LIMIT, Truth, counting, measuring_round_trips, wait_until
from zkdiscovery import Client, ClientClosed, Hold, HoldLost, InvalidName, Lock, LockTimeout, OperationTimeout

Expire = Callable[[Client], object]

NAME = "invoice"


def wait_length(queue: Queue, length: int) -> None:
    wait_until(lambda: len(queue()) == length)


def test_a_block(make_client: MakeClient, queue: Queue, parent: str, truth: Truth) -> None:
    lock = make_client().lock(NAME)
    with lock.hold(LIMIT) as hold:
        hold.check()
        (name,) = queue()
        assert re.fullmatch(r"_c_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-lock-0000000000", name)
        node = truth.get(f"{parent}/{name}")
        assert node is not None
        assert hold.fence == node.stat.czxid
        assert node.stat.ephemeral_owner
        holder = lock.holder()
        assert holder is not None
        assert (holder.id.encode(), holder.fence) == (node.data, hold.fence)
        assert lock.waiters() == []
        assert "held by this object" in repr(lock)
    assert hold.lost
    assert queue() == []
    assert lock.holder() is None
    assert lock.holders() == []
    with pytest.raises(HoldLost, match="released"):
        hold.check()


def test_with_lock_is_with_hold(make_client: MakeClient, queue: Queue) -> None:
    lock = make_client().lock(NAME)
    for _ in range(2):
        with lock as hold:
            assert not hold.lost
            assert len(queue()) == 1
        assert queue() == []
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert queue() == []


def test_acquire_and_release(make_client: MakeClient, queue: Queue) -> None:
    lock = make_client().lock(NAME)
    fences = []
    for _ in range(3):
        hold = lock.acquire(LIMIT)
        fences.append(hold.fence)
        hold.release()
        hold.release()
        assert hold.lost
    assert fences == sorted(set(fences))
    wait_length(queue, 0)


def test_it_is_not_reentrant(make_client: MakeClient, queue: Queue) -> None:
    client = make_client()
    lock = client.lock(NAME)
    with lock:
        for again in (lock.acquire, lock.try_acquire, lock.__enter__, lambda: lock.hold().__enter__()):
            with pytest.raises(RuntimeError, match="not re-entrant"):
                again()
        assert len(queue()) == 1
        assert client.lock(NAME).try_acquire() is None
    assert queue() == []


def test_try_acquire(make_client: MakeClient, queue: Queue) -> None:
    first, second = make_client().lock(NAME), make_client().lock(NAME)
    hold = first.try_acquire()
    assert hold is not None
    assert second.try_acquire() is None
    assert queue() == queue()[:1]
    hold.release()
    wait_length(queue, 0)
    assert second.try_acquire() is not None


def test_who_waits_too_long_leaves_nothing(make_client: MakeClient, queue: Queue) -> None:
    first, second = make_client().lock(NAME), make_client().lock(NAME)
    with first:
        with pytest.raises(LockTimeout, match=r"the lock 'invoice' was not free within 0\.2 s: it is held") as caught:
            second.acquire(0.2)
        assert isinstance(caught.value, OperationTimeout)
        assert len(queue()) == 1
        with pytest.raises(LockTimeout), second.hold(0.0):
            pass
        assert len(queue()) == 1
    with second:
        pass


def test_turns_come_in_the_order_of_arrival(make_client: MakeClient, queue: Queue) -> None:
    client = make_client()
    served: list[tuple[int, int]] = []

    def take(number: int) -> None:
        with client.lock(NAME).hold(LIMIT) as hold:
            served.append((number, hold.fence))

    lock = make_client().lock(NAME)
    with lock as hold, ThreadPoolExecutor(8) as pool:
        for number in range(8):
            pool.submit(take, number)
            wait_length(queue, 2 + number)
        assert [who.fence for who in lock.holders()] == [hold.fence]
        waiters = lock.waiters()
        assert len(waiters) == 8
        hold.release()
    assert [number for number, _ in served] == list(range(8))
    assert [fence for _, fence in served] == [who.fence for who in waiters]
    assert queue() == []


def test_each_release_wakes_one_of_a_hundred(make_client: MakeClient, queue: Queue) -> None:
    """No herd: one waiter acts, with two reads at most."""
    clients = [make_client() for _ in range(2)]
    holds: list[Hold] = []
    turn = threading.Condition()

    def take(lock: Lock) -> None:
        hold = lock.acquire(None)
        with turn:
            holds.append(hold)
            turn.notify_all()

    count = 100
    threads = [threading.Thread(target=take, args=(clients[0].lock(NAME),)) for _ in range(count)]
    first = clients[1].lock(NAME).acquire(LIMIT)
    for thread in threads:
        thread.start()
    wait_length(queue, count + 1)
    waiting = clients[0]
    settle(waiting)
    for number in range(count):
        with counting(waiting) as counts:
            (holds[-1] if holds else first).release()
            with turn:
                assert turn.wait_for(lambda number=number: len(holds) == number + 1, LIMIT)
        reads = counts["GetChildren"] + counts["MultiRead"] + counts["GetData"] + counts["Exists"]
        assert reads <= 2, counts
    holds[-1].release()
    for thread in threads:
        thread.join(LIMIT)
    assert [hold.fence for hold in holds] == sorted({hold.fence for hold in holds})
    wait_length(queue, 0)


def test_an_uncontended_lock_takes_few_requests(make_client: MakeClient) -> None:
    client = make_client()
    lock = client.lock(NAME)
    with lock:
        pass
    with counting(client) as counts, lock:
        pass
    assert counts["CreateNumbered"] == 1
    assert counts["GetChildren"] == 1
    assert counts["MultiRead"] <= 1
    assert counts["CreateContainer"] == 0


def test_an_uncontended_lock_takes_four_round_trips(make_client: MakeClient) -> None:
    """Creation, list, proof, deletion."""
    client = make_client()
    lock = client.lock(NAME)
    with lock:  # which makes the parent
        pass
    # Until then the handshake and the renewals of that hold make a proof that needs fewer trips.
    stale = time.monotonic() + 0.7 * client.session_timeout
    wait_until(lambda: time.monotonic() >= stale)

    def measure() -> int:
        with measuring_round_trips(client) as round_trips, lock:
            pass
        return round_trips()

    assert min(measure() for _ in range(5)) == 4


def test_a_loss_is_told_at_the_end_of_the_block(
    make_client: MakeClient, queue: Queue, zkdiscovery_expire: Expire
) -> None:
    client = make_client()
    lock = client.lock(NAME)
    with pytest.raises(HoldLost, match="the session expired"), lock.hold(LIMIT) as hold:
        zkdiscovery_expire(client)
        assert hold.wait_lost(LIMIT)
    with pytest.raises(KeyError), lock:
        zkdiscovery_expire(client)
        raise KeyError
    with lock.hold(LIMIT) as hold:
        hold.release()
    assert queue() == []


def test_a_lost_hold_frees_its_object(make_client: MakeClient, zkdiscovery_expire: Expire) -> None:
    client = make_client()
    lock = client.lock(NAME)
    lost = lock.acquire(LIMIT)
    zkdiscovery_expire(client)
    assert lost.wait_lost(LIMIT)
    hold = lock.acquire(LIMIT)
    lost.release()
    assert not hold.lost


def test_a_waiter_survives_its_session(make_client: MakeClient, queue: Queue, zkdiscovery_expire: Expire) -> None:
    client = make_client()
    with ThreadPoolExecutor(1) as pool, make_client().lock(NAME):
        waiting = pool.submit(client.lock(NAME).acquire, LIMIT)
        wait_length(queue, 2)
        zkdiscovery_expire(client)
        wait_length(queue, 1)
        wait_length(queue, 2)
    hold = waiting.result(LIMIT)
    assert not hold.lost


def test_a_node_deleted_from_outside(make_client: MakeClient, queue: Queue, truth: Truth, parent: str) -> None:
    client = make_client()
    lock = client.lock(NAME)
    hold = lock.acquire(LIMIT)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(make_client().lock(NAME).acquire, LIMIT)
        wait_length(queue, 2)
        # That of the waiter, which takes another place.
        truth.delete(f"{parent}/{max(queue(), key=lambda name: name[-10:])}")
        wait_until(lambda: len(queue()) == 2)
        truth.delete(f"{parent}/{min(queue(), key=lambda name: name[-10:])}")
        assert hold.wait_lost(LIMIT)
        assert waiting.result(LIMIT).fence > hold.fence


def test_closing_wakes_waiters_and_ends_holds(make_client: MakeClient, queue: Queue) -> None:
    holding, waiting = make_client(), make_client()
    hold = holding.lock(NAME).acquire(LIMIT)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(waiting.lock(NAME).acquire, None)
        wait_length(queue, 2)
        waiting.close()
        with pytest.raises(ClientClosed):
            result.result(LIMIT)
    wait_length(queue, 1)
    holding.drain()
    assert hold.lost
    assert queue() == []
    lock = make_client().lock(NAME)
    with pytest.raises(ClientClosed):
        holding.lock(NAME)
    assert lock.try_acquire() is not None


def test_closing_waits_for_the_block_of_another_thread(make_client: MakeClient, queue: Queue) -> None:
    client = make_client()
    entered, leave = threading.Event(), threading.Event()
    seen: list[object] = []

    def hold_it() -> None:
        try:
            with client.lock(NAME) as hold:
                entered.set()
                seen.append(hold.wait_lost(LIMIT))
                seen.append(len(queue()))
                assert leave.wait(LIMIT)
        except HoldLost as error:
            seen.append(str(error))

    with ThreadPoolExecutor(2) as pool:
        block = pool.submit(hold_it)
        assert entered.wait(LIMIT)
        closing = pool.submit(client.close, LIMIT)
        wait_until(lambda: len(seen) == 2)
        assert not closing.done()
        leave.set()
        closing.result(LIMIT)
        block.result(LIMIT)
    assert seen[:2] == [True, 1]
    assert "the client was closed" in str(seen[2])
    assert queue() == []


def test_closing_in_the_block_waits_for_nobody(make_client: MakeClient, queue: Queue) -> None:
    client = make_client()
    start = time.monotonic()
    with pytest.raises(HoldLost, match="the client was closed"), client.lock(NAME):
        client.close()
        assert queue() == []
    assert time.monotonic() - start < LIMIT / 4


def test_an_absolute_name_is_a_path(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    path = f"{namespace}/elsewhere/mine"
    with make_client().lock(path):
        assert len(truth.children(path)) == 1


@pytest.mark.parametrize("name", ["", "a/b", "/", "/a//b", "/a/../b", ".", "zookeeper", "/a/", "a\n", 5, None])
def test_no_name(make_client: MakeClient, name: str) -> None:
    with pytest.raises(InvalidName, match="lock name must"):
        make_client().lock(name)


def test_no_layout(make_client: MakeClient) -> None:
    with pytest.raises(ValueError, match="layout must be 'curator' or 'kazoo': got 'etcd'"):
        make_client().lock(NAME, layout="etcd")  # type: ignore[arg-type]


def test_it_can_not_be_pickled(make_client: MakeClient) -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(make_client().lock(NAME))
