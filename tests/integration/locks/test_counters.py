"""A counter: each change once, whoever else changes it, on threads and on a loop."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import pytest
from kazoo.client import KazooClient

from tests.conftest import MakeClient
from tests.integration.aio.loops import on_loop
from tests.integration.locks.conftest import MakeAsync
from tests.support import LIMIT, Truth, core_of, counting
from zkdiscovery import (
    ClientClosed,
    CounterOverflow,
    InvalidName,
    InvalidSettings,
    OperationTimeout,
    UndecodableNode,
)
from zkdiscovery.session import Multi

NAME = "invoices"


@pytest.fixture
def path(namespace: str) -> str:
    """The node of the counter."""
    return f"{namespace}/counters/{NAME}"


def test_changes(make_client: MakeClient, truth: Truth, path: str) -> None:
    counter, other = make_client().counter(NAME), make_client().counter(NAME)
    assert counter.value() == other.value() == 0
    assert truth.get(path) is None
    assert [counter.add(), other.add(5), counter.add(-10)] == [1, 6, -4]
    assert other.value() == -4
    counter.set(100)
    assert other.add(0) == 100
    assert other.compare_and_set(100, 7)
    assert not counter.compare_and_set(100, 8)
    assert counter.value() == 7
    node = truth.get(path)
    assert node is not None
    assert (node.data, node.stat.ephemeral_owner) == (b"7", 0)
    assert truth.children(path) == ["ledger"]
    assert repr(counter) == "<Counter 'invoices'>"


@on_loop
async def test_changes_on_a_loop(make_async: MakeAsync) -> None:
    counter = make_async().counter(NAME)
    assert await counter.value() == 0
    assert [await counter.add(), await counter.add(5)] == [1, 6]
    await counter.set(100)
    assert await counter.compare_and_set(100, 7)
    assert not await counter.compare_and_set(100, 8)
    after = await asyncio.gather(*(counter.add(timeout=LIMIT) for _ in range(20)))
    assert sorted(after) == list(range(8, 28))


def test_many_threads_of_two_clients(make_client: MakeClient) -> None:
    """Each value is returned once, so no change is lost or made twice."""
    clients = [make_client(), make_client()]
    values: list[int] = []

    def add(number: int) -> None:
        counter = clients[number % 2].counter(NAME)
        for _ in range(10):
            values.append(counter.add(timeout=LIMIT))  # noqa: PERF401 - each as it comes

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT)
    assert sorted(values) == list(range(1, 81))
    assert clients[0].counter(NAME).value() == 80


def test_a_change_takes_two_round_trips(make_client: MakeClient) -> None:
    client = make_client()
    counter = client.counter(NAME)
    counter.add()
    with counting(client) as counts:
        counter.add()
    assert counts == {"Sync": 1, "MultiRead": 1, "Multi": 1}


def test_one_that_others_change_all_the_time(make_client: MakeClient, truth: Truth, path: str) -> None:
    client = make_client()
    counter = client.counter(NAME)
    counter.add()
    session = core_of(client).session
    call = session.call

    def late(request: Any, **options: Any) -> Any:
        if isinstance(request, Multi):
            truth.set(path, b"1000")
        return call(request, **options)

    session.call = late  # type: ignore[method-assign]
    with pytest.raises(OperationTimeout, match="others changed it at each try") as caught:
        counter.add(timeout=0.3)
    assert not caught.value.outcome_unknown
    assert counter.value() == 1000


def test_kazoos_counter_is_the_same(make_client: MakeClient, namespace: str, kazoo: KazooClient) -> None:
    path = f"{namespace}/elsewhere/total"
    theirs, ours = kazoo.Counter(path), make_client().counter(path)
    assert theirs.value == 0  # and makes an empty node
    assert ours.value() == 0
    assert ours.add(2) == 2
    theirs += 3
    assert ours.add(-10) == theirs.value == -5
    assert make_client().counter(path).add() == -4


@pytest.mark.parametrize(
    "data", [b"1.5", b"x", b"\x00\x00\x00\x00\x00\x00\x00\x05", b"9223372036854775808", b"1" * 30, "٣".encode(), b"1\n"]
)
def test_what_is_no_counter(make_client: MakeClient, truth: Truth, path: str, data: bytes) -> None:
    counter = make_client().counter(NAME)
    truth.create(path, data)
    for use in (counter.value, counter.add):
        with pytest.raises(UndecodableNode, match=f"{path} holds no counter, which is a whole number in decimal"):
            use()


def test_a_value_beyond_64_bits(make_client: MakeClient) -> None:
    counter = make_client().counter(NAME)
    counter.set(2**63 - 2)
    assert counter.add() == 2**63 - 1
    with pytest.raises(CounterOverflow, match="9223372036854775808 is beyond 64 bits"):
        counter.add()
    counter.set(-(2**63))
    with pytest.raises(OverflowError):
        counter.add(-1)
    assert counter.value() == -(2**63)


def test_what_is_no_change(make_client: MakeClient) -> None:
    counter = make_client().counter(NAME)
    amounts: list[Any] = [1.0, True, "1", None, 2**63, -(2**63) - 1]
    for amount in amounts:
        with pytest.raises(InvalidSettings, match="what is added to a counter must be an integer"):
            counter.add(amount)
        with pytest.raises(InvalidSettings, match="the value of a counter must be an integer"):
            counter.set(amount)
    guards: list[Any] = [object(), 5, make_client().lock("invoice")]
    for guard in guards:
        with pytest.raises(TypeError, match="guard must be a hold or a term"):
            counter.add(guard=guard)
    assert counter.value() == 0


@pytest.mark.parametrize("name", ["", "a/b", "/", "/a//b", ".", "zookeeper", "a\n", 5, None])
def test_no_name(make_client: MakeClient, name: str) -> None:
    with pytest.raises(InvalidName, match="counter name must"):
        make_client().counter(name)


def test_it_works_until_the_client_closes(make_client: MakeClient) -> None:
    client = make_client()
    counter = client.counter(NAME)
    client.drain()
    assert counter.add() == 1
    client.close()
    with pytest.raises(ClientClosed):
        counter.add()


def test_it_can_not_be_pickled(make_client: MakeClient) -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(make_client().counter(NAME))
