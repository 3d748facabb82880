"""Guarded writes: ZooKeeper itself refuses those of a holder whose node is gone, in that very moment."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.loops import on_loop
from tests.integration.locks.conftest import MakeAsync
from tests.support import LIMIT, Truth
from zkdiscovery import Client, Hold, HoldLost, LeadershipLost, Term
from zkdiscovery.testing import FaultProxy, ZookeeperServer

Expire = Callable[[Client], object]

NAME = "invoices"

Take = Callable[[Client, ExitStack], Hold]


def _term(client: Client, stack: ExitStack) -> Term:
    turns: Any = client.election("invoice").terms(LIMIT)
    term: Term = next(stack.enter_context(closing(turns)))
    return term


HOLDS: dict[str, Take] = {
    "lock": lambda client, _: client.lock("invoice").acquire(LIMIT),
    "kazoo": lambda client, _: client.lock("invoice", layout="kazoo").acquire(LIMIT),
    "read": lambda client, _: client.read_write_lock("invoice").read.acquire(LIMIT),
    "semaphore": lambda client, _: client.semaphore("invoice", 2).acquire(LIMIT),
    "term": _term,
}


def delete_before_it_is_written(proxy: FaultProxy, truth: Truth, hold: Any) -> list[bytes]:
    """Delete the node of a hold while a change of the counter is on its way. Gives what was on its way."""
    seen: list[bytes] = []
    path = hold.condition().path
    place = path.encode()  # a read of the counter does not have it

    def look(chunk: bytes) -> bytes:
        if f"/counters/{NAME}/ledger".encode() in chunk and place in chunk:
            seen.append(chunk)
            if len(seen) == 1:
                truth.delete(path)
        return chunk

    proxy.alter("client_to_server", look)
    return seen


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("kind", HOLDS)
def test_the_holder_writes_and_a_stale_one_is_refused_by_zookeeper(
    make_client: MakeClient, truth: Truth, zkdiscovery_proxy: FaultProxy, stack: ExitStack, kind: str
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    counter, hold = client.counter(NAME), HOLDS[kind](client, stack)
    assert counter.add(guard=hold) == 1
    assert counter.compare_and_set(1, 2, guard=hold)
    counter.set(3, guard=hold)
    seen = delete_before_it_is_written(zkdiscovery_proxy, truth, hold)
    hold.check()
    with pytest.raises(HoldLost, match="its node is gone, so ZooKeeper refused the write") as caught:
        counter.add(guard=hold)
    assert len(seen) == 1
    assert (caught.type is LeadershipLost) is (kind == "term")
    assert not caught.value.outcome_unknown
    assert counter.value() == 3
    assert counter.add() == 4


@on_loop
async def test_on_a_loop(make_async: MakeAsync, truth: Truth, zkdiscovery_proxy: FaultProxy) -> None:
    client = make_async(zkdiscovery_proxy.address)
    hold = await client.lock("invoice").acquire(LIMIT)
    assert await client.counter(NAME).add(guard=hold) == 1
    delete_before_it_is_written(zkdiscovery_proxy, truth, hold)
    with pytest.raises(HoldLost, match="ZooKeeper refused the write"):
        await client.counter(NAME).add(guard=hold)
    assert await client.counter(NAME).value() == 1


def test_the_successor_writes_and_the_former_holder_does_not(
    make_client: MakeClient, zkdiscovery_expire: Expire
) -> None:
    former, later = make_client(), make_client()
    stale = former.lock("invoice").acquire(LIMIT)
    zkdiscovery_expire(former)
    hold = later.lock("invoice").acquire(LIMIT)
    assert later.counter(NAME).add(guard=hold) == 1
    with pytest.raises(HoldLost):
        former.counter(NAME).add(guard=stale)
    assert later.counter(NAME).add(guard=hold) == 2


def test_the_first_write_makes_the_counter(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    hold = client.lock("invoice").acquire(LIMIT)
    truth.delete(hold.condition().path)
    assert hold.wait_lost(LIMIT)
    with pytest.raises(HoldLost, match="ZooKeeper refused the write"):
        client.counter(NAME).add(guard=hold)
    assert truth.get(f"{namespace}/counters/{NAME}") is None
    with client.lock("invoice") as hold:
        assert client.counter(NAME).add(guard=hold) == 1


def test_one_that_was_released(make_client: MakeClient) -> None:
    client = make_client()
    counter = client.counter(NAME)
    hold = client.lock("invoice").acquire(LIMIT)
    assert counter.add(guard=hold) == 1
    hold.release()
    with pytest.raises(HoldLost, match="is over: released"):  # even if its node is still there
        counter.add(guard=hold)
    assert counter.value() == 1


def test_a_guard_may_be_of_another_client(make_client: MakeClient) -> None:
    hold = make_client().lock("invoice").acquire(LIMIT)
    assert make_client().counter(NAME).add(guard=hold) == 1


def test_a_child_does_not_hold_what_its_parent_holds(
    make_client: MakeClient, zkdiscovery_server: ZookeeperServer
) -> None:
    client = make_client()
    counter, hold = client.counter(NAME), client.lock("invoice").acquire(LIMIT)
    counter.add(guard=hold)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: a fork beside threads
        pid = os.fork()
    if pid == 0:
        said = b"failed"
        try:
            said = str(counter.add(10)).encode()
            try:
                counter.add(guard=hold)
            except HoldLost as error:
                said += b" " + str(error).encode()
        finally:
            os.write(writer, said)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as child:
        said_by_child = child.read()
    os.waitpid(pid, 0)
    assert said_by_child.startswith("11 ")
    assert "it belongs to the parent process" in said_by_child
    assert counter.add(guard=hold) == 12
