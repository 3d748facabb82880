"""The async client as a whole: its life, its reads and writes, its callbacks, several loops."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading

import pytest
import uvloop

from tests.conftest import MakeClient
from tests.integration.aio.conftest import MakeAsync
from tests.integration.aio.loops import on_loop, until
from tests.support import LIMIT
from zkdiscovery import AsyncClient, ClientClosed, InvalidSettings, NodeMissing, NotConnected, State, Status
from zkdiscovery.testing import FaultProxy, ZookeeperServer


@on_loop
async def test_a_life(zkdiscovery_server: ZookeeperServer, namespace: str) -> None:
    client = AsyncClient(zkdiscovery_server.hosts, namespace=namespace, session_timeout=4.0)
    assert client.state is State.NEW
    async with client as entered:
        assert entered is client
        assert await client.wait_connected(LIMIT) is client
        assert client.state is State.CONNECTED
        assert client.session_timeout == 4.0
        assert client.settings.namespace == namespace
        registration = client.register("payments", 8080, id="a", host="10.0.0.1")
        payments = client.discover("payments")
        await payments.wait_ready(LIMIT)
        assert payments.pick().id == "a"
        assert repr(client) == f"<AsyncClient {zkdiscovery_server.hosts} CONNECTED>"
    assert client.state is State.CLOSED
    assert registration.state == "CLOSED"
    await client.aclose()
    for operation in (client.start(), client.wait_connected(), client.service_names()):
        with pytest.raises(ClientClosed):
            await operation
    with pytest.raises(ClientClosed):
        client.register("payments", 8080)


@on_loop
async def test_reads_and_writes(make_async: MakeAsync) -> None:
    client = make_async()
    await client.register("payments", 8080, id="a", host="10.0.0.1").wait_registered(LIMIT)
    assert await client.service_names() == ["payments"]
    (instance,) = await client.instances("payments")
    assert instance.id == "a"
    assert (await client.override("payments", "a", status="DOWN")).status is Status.DOWN
    assert (await client.clear_override("payments", "a")).status is Status.UP
    with pytest.raises(NodeMissing):
        await client.override("payments", "b", weight=1.0)
    assert not await client.remove("payments", "b")
    assert await client.election_names() == []
    with pytest.raises(InvalidSettings):
        await client.service_names(timeout=-1.0)


@on_loop
async def test_an_absent_zookeeper_blocks_nothing(zkdiscovery_proxy: FaultProxy, make_async: MakeAsync) -> None:
    zkdiscovery_proxy.refuse()
    client = make_async(zkdiscovery_proxy.address)
    registration = client.register("payments", 8080, id="a", host="10.0.0.1")
    with pytest.raises(NotConnected):
        await client.wait_connected(0.1)
    with pytest.raises(NotConnected):
        await client.service_names(0.1)
    zkdiscovery_proxy.heal()
    await registration.wait_registered(LIMIT)


@on_loop
async def test_callbacks_run_in_order_on_the_loop_and_are_merged(make_async: MakeAsync) -> None:
    client = make_async()
    states: list[tuple[State, int]] = []
    subscription = client.on_change(lambda state: states.append((state, threading.get_ident())))
    await client.wait_connected(LIMIT)
    await until(lambda: states)
    assert states == [(State.CONNECTED, threading.get_ident())]
    subscription.close()
    assert subscription.closed

    payments = client.discover("payments")
    await payments.changes().__anext__()
    begun, go_on = asyncio.Event(), asyncio.Event()
    seen: list[list[str]] = []

    async def slow(change: object) -> None:
        seen.append(sorted(change.delta))  # type: ignore[attr-defined]
        begun.set()
        await go_on.wait()

    with payments.on_change(slow):
        await begun.wait()
        for name in "abc":
            await client.register("payments", 8080, id=name, host="10.0.0.1").wait_registered(LIMIT)
        await payments.wait_ready(LIMIT, at_least=3)
        assert seen == [[]]
        go_on.set()
        await until(lambda: [name for names in seen for name in names] == ["a", "b", "c"])
        assert len(seen) <= 3  # at most one waited; the last may have come after it was taken


@on_loop
async def test_a_callback_that_raises_stays_subscribed(make_async: MakeAsync, caplog: pytest.LogCaptureFixture) -> None:
    client = make_async()
    registration = client.register("payments", 8080, id="a", host="10.0.0.1")
    seen: list[str] = []

    async def fail(registration: object) -> None:
        seen.append(str(registration))
        raise ValueError("on purpose")

    registration.on_change(fail)
    await registration.wait_registered(LIMIT)
    await until(lambda: seen)
    await registration.drain()
    await until(lambda: "CLOSED" in seen[-1])
    assert "raised; it stays subscribed" in caplog.text


def test_a_callback_needs_a_loop_and_a_function(make_async: MakeAsync) -> None:
    client = make_async()
    with pytest.raises(RuntimeError, match="no running event loop"):
        client.on_change(print)

    async def wrong() -> None:
        with pytest.raises(TypeError, match="must be callable, not int"):
            client.on_change(5)  # type: ignore[arg-type]

    asyncio.run(wrong())


def test_two_loops_in_two_threads_and_two_runs(make_async: MakeAsync) -> None:
    client = make_async()
    failures: list[BaseException] = []

    async def use(name: str) -> None:
        await client.wait_connected(LIMIT)
        async with client.register("payments", 8080, id=name, host="10.0.0.1") as registration:
            await registration.wait_registered(LIMIT)
            payments = client.discover("payments")
            await payments.wait_ready(LIMIT)
            async with client.election("report").campaign(LIMIT) as term:
                assert term.fence > 0

    def run(name: str) -> None:
        try:
            for _ in range(2):
                asyncio.run(use(name))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * LIMIT)
        assert not thread.is_alive()
    assert failures == []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use("uvloop"))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_connection_of_its_own(make_async: MakeAsync) -> None:
    client = make_async()
    asyncio.run(client.wait_connected(LIMIT))  # type: ignore[arg-type]
    owner = client.register("payments", 8080, id="parent", host="10.0.0.1")
    asyncio.run(owner.wait_registered(LIMIT))  # type: ignore[arg-type]
    view = client.discover("payments")
    child = os.fork()
    if child == 0:
        status = 1
        try:

            async def work() -> None:
                await client.wait_connected(LIMIT)
                await view.wait_ready(LIMIT)
                assert view.pick().id == "parent"
                await client.register("payments", 8081, id="child", host="10.0.0.1").wait_registered(LIMIT)
                await client.aclose()

            asyncio.run(work())
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert owner.state == "REGISTERED"


@on_loop
async def test_the_sync_client_inside_shares_everything(make_async: MakeAsync) -> None:
    client = make_async()
    await client.register("payments", 8080, id="a", host="10.0.0.1").wait_registered(LIMIT)
    view = await asyncio.to_thread(client.sync.discover("payments").wait_ready, LIMIT)
    assert view.pick().id == "a"
    await asyncio.to_thread(client.sync.close)
    assert client.state is State.CLOSED


def test_it_cant_be_pickled(make_async: MakeAsync) -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(make_async())


@on_loop
async def test_what_waits_for_a_thread_is_told_of_the_end(make_async: MakeAsync, make_client: MakeClient) -> None:
    """Operations that have not begun fail, and those under way end, when the client closes."""
    client = make_async("127.0.0.1:1")
    await client.start()
    asked = [asyncio.create_task(client.service_names(LIMIT)) for _ in range(12)]
    await asyncio.sleep(0)
    await client.aclose()
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(error) for error in ended} == {ClientClosed}


@on_loop
async def test_a_shared_registration(make_async: MakeAsync) -> None:
    first, second = make_async(), make_async()
    one = first.register("payments", 8080, id="a", host="127.0.0.1", on_conflict="share")
    await one.wait_registered(LIMIT)
    other = second.register("payments", 8080, id="a", host="127.0.0.1", on_conflict="share")
    await other.wait_registered(LIMIT)
    await one.drain(delay=30.0)
    assert one.state == "CLOSED"
    assert [instance.status for instance in await second.instances("payments")] == ["UP"]
    await other.drain(delay=0.1)
    assert await second.instances("payments") == []
