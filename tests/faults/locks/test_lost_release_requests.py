"""Each message of a request for a release lost once: the holder is told all the same, and keeps its hold."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import settle
from tests.integration.locks.conftest import Queue
from tests.support import LIMIT, Recorder, Truth, core_of, wait_state
from zkdiscovery import Client, Hold, NotConnected, State
from zkdiscovery.testing import FaultProxy

Expire = Callable[[Client], object]

NAME = "invoice"

lost = pytest.mark.parametrize("how", ["lose_reply", "lose_request"])


@lost
@pytest.mark.parametrize("kind", ["get_children", "multi_read", "set_data"])
def test_of_whoever_asks(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, how: str, kind: str) -> None:
    asker, holder = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT), make_client()
    lock, told = holder.lock(NAME), Recorder[Hold]()
    lock.on_release_requested(told)
    with lock as hold:
        fault = getattr(zkdiscovery_proxy, how)(kind)
        assert [who.fence for who in asker.lock(NAME).request_release(LIMIT)] == [hold.fence]
        assert fault.happened
        told.wait(lambda items: len(items) >= 1)
        settle(holder)
        assert len(told.items) <= 2  # the request was sent twice
        assert not hold.lost


@lost
@pytest.mark.parametrize("kind", ["multi_read", "set_data"])
def test_of_the_holder(
    make_client: MakeClient, queue: Queue, truth: Truth, parent: str, zkdiscovery_proxy: FaultProxy, how: str, kind: str
) -> None:
    """It is told once, however often it reads the request, and shows who it is again."""
    client = make_client(zkdiscovery_proxy.address)
    lock, told = client.lock(NAME), Recorder[Hold]()
    lock.on_release_requested(told)
    with lock as hold:
        path = f"{parent}/{queue()[0]}"
        before = truth.get(path)
        assert before is not None
        settle(client)
        fault = getattr(zkdiscovery_proxy, how)(kind)
        make_client().lock(NAME).request_release(LIMIT)
        assert told.wait(lambda items: len(items) == 1) == [hold]
        assert fault.wait(LIMIT)
        truth.wait(path, lambda node: node is not None and node.data == before.data)
        settle(client)
        assert len(told.items) == 1
        assert not hold.lost
        assert core_of(client).session.epoch == 1


def test_while_the_holder_is_away(make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    """The event never comes; the look after the reconnect tells."""
    client = make_client(zkdiscovery_proxy.address, session_timeout=20.0)
    lock, told = client.lock(NAME), Recorder[Hold]()
    lock.on_release_requested(told)
    with lock as hold:
        settle(client)
        zkdiscovery_proxy.refuse()
        zkdiscovery_proxy.drop()
        wait_state(client, State.SUSPENDED)
        assert [who.fence for who in make_client().lock(NAME).request_release(LIMIT)] == [hold.fence]
        assert told.items == []
        zkdiscovery_proxy.heal()
        assert told.wait(lambda items: len(items) == 1) == [hold]
        assert not hold.lost


def test_while_whoever_asks_is_away(make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    asker = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    lock, told = make_client().lock(NAME), Recorder[Hold]()
    lock.on_release_requested(told)
    with lock as hold, ThreadPoolExecutor(1) as pool:
        zkdiscovery_proxy.refuse()
        zkdiscovery_proxy.drop()
        wait_state(asker, State.SUSPENDED)
        with pytest.raises(NotConnected):
            asker.lock(NAME).request_release(0.2)
        asking = pool.submit(asker.lock(NAME).request_release, LIMIT)
        zkdiscovery_proxy.heal()
        assert [who.fence for who in asking.result(LIMIT)] == [hold.fence]
        told.wait(lambda items: len(items) == 1)


def test_a_session_that_ends_takes_the_request_along(make_client: MakeClient, zkdiscovery_expire: Expire) -> None:
    """The next hold of the same object was asked by nobody."""
    client = make_client()
    lock, told = client.lock(NAME), Recorder[Hold]()
    first = lock.acquire(LIMIT)
    make_client().lock(NAME).request_release(LIMIT)
    settle(client)
    zkdiscovery_expire(client)
    assert first.wait_lost(LIMIT)
    second = lock.acquire(LIMIT)
    with lock.on_release_requested(told):
        settle(client)
        assert told.items == []
        make_client().lock(NAME).request_release(LIMIT)
        assert told.wait(lambda items: len(items) == 1) == [second]
