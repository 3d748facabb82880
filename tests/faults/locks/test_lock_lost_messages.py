"""Each message of a lock lost once, on threads and on a loop: no orphan, no stuck waiter, no double hold."""

from __future__ import annotations

import asyncio
import re
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import settle
from tests.integration.locks.conftest import Queue
from tests.support import LIMIT, Truth, core_of, wait_until
from zkdiscovery import AsyncClient, AsyncHold, Client, LockTimeout
from zkdiscovery.testing import FaultProxy
from zkdiscovery.testing.proxy.frames import FrameFault

NAME = "invoice"

Take = Callable[[Client], "Future[Any]"]


@pytest.fixture(params=["threads", "asyncio"])
def take(request: pytest.FixtureRequest) -> Iterator[Take]:
    """Takes the lock through a client, on a thread or on a loop; gives its hold."""
    if request.param == "threads":
        with ThreadPoolExecutor() as pool:
            yield lambda client: pool.submit(client.lock(NAME).acquire, LIMIT)
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def take(client: Client) -> Future[AsyncHold]:
        return asyncio.run_coroutine_threadsafe(AsyncClient.of(client).lock(NAME).acquire(LIMIT), loop)

    yield take
    loop.call_soon_threadsafe(loop.stop)
    thread.join(LIMIT)
    loop.close()


lost = pytest.mark.parametrize("how", ["lose_reply", "lose_request"])


def lose(proxy: FaultProxy, how: str, kind: str) -> FrameFault:
    fault: FrameFault = getattr(proxy, how)(kind)
    return fault


def wait_length(queue: Queue, length: int) -> None:
    wait_until(lambda: len(queue()) == length)


@lost
@pytest.mark.parametrize("kind", ["create", "multi", "get_children", "set_watches", "multi_read"])
def test_while_it_is_taken(
    make_client: MakeClient, queue: Queue, take: Take, zkdiscovery_proxy: FaultProxy, how: str, kind: str
) -> None:
    """kazoo: two nodes of one's own, and a lock that waits for itself."""
    make_client().lock(NAME).acquire(LIMIT).release()  # the parent is there
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    fault = lose(zkdiscovery_proxy, how, kind)
    hold = take(client).result(LIMIT)
    assert fault.happened
    assert core_of(client).session.epoch == 1
    assert not hold.lost
    wait_length(queue, 1)
    hold.release()
    wait_length(queue, 0)
    assert take(make_client()).result(LIMIT).fence > hold.fence


@lost
@pytest.mark.parametrize("kind", ["create", "get_children", "set_watches", "multi_read"])
def test_while_it_is_waited_for(
    make_client: MakeClient, queue: Queue, take: Take, zkdiscovery_proxy: FaultProxy, how: str, kind: str
) -> None:
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    first = take(make_client()).result(LIMIT)
    fault = lose(zkdiscovery_proxy, how, kind)
    waiting = take(client)
    assert fault.wait(LIMIT)
    wait_length(queue, 2)
    behind = take(make_client())
    wait_length(queue, 3)
    assert not waiting.done()
    assert not first.lost
    first.release()
    second = waiting.result(LIMIT)
    assert second.fence > first.fence
    assert not behind.done()
    second.release()
    assert behind.result(LIMIT).fence > second.fence
    wait_length(queue, 1)


@lost
def test_the_proof_of_a_hold(
    make_client: MakeClient, queue: Queue, take: Take, zkdiscovery_proxy: FaultProxy, how: str
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    first = take(make_client()).result(LIMIT)
    waiting = take(client)
    wait_length(queue, 2)
    settle(client)
    fault = lose(zkdiscovery_proxy, how, "multi")
    first.release()
    assert not waiting.result(LIMIT).lost
    assert fault.happened
    wait_length(queue, 1)


def test_the_event_of_a_release(
    make_client: MakeClient, queue: Queue, take: Take, zkdiscovery_proxy: FaultProxy
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    first, third = take(make_client()).result(LIMIT), make_client()
    waiting = take(client)
    wait_length(queue, 2)
    behind = take(third)
    wait_length(queue, 3)
    settle(client)
    zkdiscovery_proxy.blackhole()
    first.release()
    wait_length(queue, 2)
    zkdiscovery_proxy.heal()
    second = waiting.result(LIMIT)
    assert not behind.done()
    second.release()
    assert behind.result(LIMIT).fence > second.fence


@lost
def test_a_release(make_client: MakeClient, queue: Queue, take: Take, zkdiscovery_proxy: FaultProxy, how: str) -> None:
    client = make_client(zkdiscovery_proxy.address)
    first = take(client).result(LIMIT)
    waiting = take(make_client())
    wait_length(queue, 2)
    settle(client)
    fault = lose(zkdiscovery_proxy, how, "delete")
    first.release()
    assert waiting.result(LIMIT).fence > first.fence
    assert fault.happened
    wait_length(queue, 1)
    assert core_of(client).session.epoch == 1


@pytest.mark.parametrize("arrives", [True, False])
def test_giving_up_while_the_creation_is_unknown(
    make_client: MakeClient, queue: Queue, zkdiscovery_proxy: FaultProxy, arrives: bool
) -> None:
    """The node is found by its uuid, and deleted."""
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    lock = client.lock(NAME)
    with ThreadPoolExecutor(1) as pool, make_client().lock(NAME):
        if arrives:
            zkdiscovery_proxy.half_open("client_to_server")
        else:
            zkdiscovery_proxy.pause()
        waiting = pool.submit(lock.acquire, 0.2)
        wait_until(lambda: lock._place is not None and not lock._place.node.desired.exists)
        wait_length(queue, 1 + arrives)
        zkdiscovery_proxy.drop()
        zkdiscovery_proxy.heal()
        with pytest.raises(LockTimeout):
            waiting.result(LIMIT)
        wait_length(queue, 1)
        settle(client)
        assert len(queue()) == 1
    assert queue() == []
    with lock:
        assert len(queue()) == 1


def test_two_creations_of_one_place(
    make_client: MakeClient, queue: Queue, truth: Truth, parent: str, zkdiscovery_proxy: FaultProxy
) -> None:
    """A node of another session with the uuid of the place is not adopted, but deleted."""
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    make_client().lock(NAME).acquire(LIMIT).release()
    fault = zkdiscovery_proxy.lose_reply("create")
    zkdiscovery_proxy.alter("client_to_server", lambda chunk: _copy(chunk, truth, parent))
    hold = client.lock(NAME).acquire(LIMIT)
    assert fault.happened
    (name,) = queue()
    node = truth.get(f"{parent}/{name}")
    assert node is not None
    assert node.stat.ephemeral_owner == core_of(client).session.session_id
    assert node.stat.czxid == hold.fence


def _copy(chunk: bytes, truth: Truth, parent: str) -> bytes:
    """Create a node with the uuid of the place that is created in this moment, and a lower number."""
    found = re.search(rb"_c_[0-9a-f-]{36}-lock-", chunk)
    if found and struct.unpack_from("!i", chunk, 8)[0] == 15:
        truth.create(f"{parent}/{found[0].decode()}0000000000")
    return chunk
