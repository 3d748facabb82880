"""Instances that come and go under a gRPC channel: what each RPC is sent to, and how long a connection lives."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import grpc
import psutil
import pytest

from tests.conftest import MakeClient
from tests.integration.docs.samples import free_port
from tests.integration.integrations.grpc_servers import Server, say, servers, stub
from tests.support import LIMIT, wait_until
from zkdiscovery import Status
from zkdiscovery.integrations.grpc import aio_channel, channel
from zkdiscovery.integrations.grpc.sync import Channel


@pytest.fixture
def pair() -> Iterator[list[Server]]:
    with servers("a", "b") as running:
        yield running


def connections_to(server: Server) -> int:
    """Connections of this process that end at a server."""
    return sum(
        each.raddr != () and each.raddr.port == server.port and each.status == psutil.CONN_ESTABLISHED
        for each in psutil.Process().net_connections("tcp")
    )


def heard_by(channel: Channel, count: int = 6) -> set[str]:
    """Who answers."""
    return {stub(channel).One(say()).server for _ in range(count)}


def wait_without(channel: Channel, id: str) -> None:
    """Wait until an instance is gone from the view."""
    wait_until(lambda: id not in {instance.id for instance in channel.view.instances})


def test_a_stream_outlives_its_instance(make_client: MakeClient, pair: list[Server]) -> None:
    """It goes on to its end within the server's grace; then the connection goes."""
    client = make_client()
    registrations = [server.register(client) for server in pair]
    with channel(client, "echo", balancer="round_robin") as echo:
        echo.view.wait_ready(LIMIT, at_least=2)
        streams = [stub(echo).Many(say(times=1, pause=LIMIT)) for _ in pair]
        assert {next(stream).server for stream in streams} == {"a", "b"}
        registrations[0].drain()
        wait_without(echo, "a")
        assert heard_by(echo) == {"b"}
        stopped = pair[0].stop(LIMIT)
        assert connections_to(pair[0]) == 1
        for server in pair:
            server.echo.going_on.set()
        assert sorted(heard.server for stream in streams for heard in stream) == ["a", "b"]
        assert stopped.wait(LIMIT)
        wait_until(lambda: connections_to(pair[0]) == 0)
        assert connections_to(pair[1]) == 1


def test_an_idle_connection_goes_with_its_instance(make_client: MakeClient, pair: list[Server]) -> None:
    client = make_client()
    registrations = [server.register(client) for server in pair]
    with channel(client, "echo", balancer="round_robin") as echo:
        echo.view.wait_ready(LIMIT, at_least=2)
        assert connections_to(pair[0]) == 0  # made at the first RPC
        assert heard_by(echo) == {"a", "b"}
        registrations[0].set_status(Status.OUT_OF_SERVICE)
        wait_until(lambda: len(echo.view.available) == 1)
        assert connections_to(pair[0]) == 1  # it may come back
        registrations[0].close()
        wait_until(lambda: connections_to(pair[0]) == 0)
        pair[0].register(client)
        wait_until(lambda: heard_by(echo) == {"a", "b"})
    wait_until(lambda: connections_to(pair[0]) == connections_to(pair[1]) == 0)


def test_an_idle_connection_of_an_aio_channel_goes_with_its_instance(
    make_client: MakeClient, pair: list[Server]
) -> None:
    client = make_client()
    registrations = [server.register(client) for server in pair]

    async def main() -> None:
        async with aio_channel(client, "echo", balancer="round_robin") as echo:
            assert {(await stub(echo).One(say())).server for _ in range(4)} == {"a", "b"}
            stream = stub(echo).Many(say(times=1, pause=LIMIT))
            server = {"a": 0, "b": 1}[(await stream.read()).server]
            await asyncio.to_thread(registrations[server].close)
            await asyncio.to_thread(wait_without, echo, "ab"[server])
            assert connections_to(pair[server]) == 1
            pair[server].echo.going_on.set()
            assert [each.text async for each in _rest(stream)] == ["last"]
            del stream  # gRPC keeps a connection while there is a call of it, ended or not, and calls are in cycles
            gc.collect()
            await asyncio.to_thread(wait_until, lambda: connections_to(pair[server]) == 0)

    asyncio.run(main())


async def _rest(stream: Any) -> Any:
    while (message := await stream.read()) is not grpc.aio.EOF:
        yield message


def test_a_channel_that_is_dropped_leaves_nothing(make_client: MakeClient, pair: list[Server]) -> None:
    client = make_client()
    pair[0].register(client)
    echo = channel(client, "echo")
    assert heard_by(echo) == {"a"}
    view = weakref.ref(echo.view)
    del echo
    gc.collect()
    assert connections_to(pair[0]) == 0
    pair[1].register(client)  # at the next change, its view goes as well

    def gone() -> bool:
        gc.collect()
        return view() is None

    wait_until(gone)


def test_rpcs_for_an_instance_that_is_not_there_go_elsewhere(make_client: MakeClient, pair: list[Server]) -> None:
    """All kinds, on both channels; each is sent once. The balancer hears of it."""
    client = make_client()
    pair[0].register(client)
    client.register("echo", free_port(), id="nobody").wait_registered(LIMIT)
    with channel(client, "echo", balancer="round_robin", ejection=None) as echo:
        echo.view.wait_ready(LIMIT, at_least=2)
        service = stub(echo)
        for _ in range(4):
            assert service.One(say()).server == "a"
            assert service.One.future(say()).result(LIMIT).server == "a"
            assert [heard.server for heard in service.Many(say(times=1))] == ["a"]
            assert service.Sum(iter([say("x"), say("y")])).text == "x y"
            assert [heard.text for heard in service.Talk(iter([say("x"), say("y")]))] == ["x", "y"]
        assert pair[0].echo.seen == {"One": 8, "Many": 4, "Sum": 4, "Talk": 4}
        report = {report.instance.id: report for report in echo.view.explain()}
        assert (report["nobody"].successes, report["a"].failures) == (0, 0)
        assert report["nobody"].failures > 1

    async def main() -> None:
        async with aio_channel(client, "echo", balancer="round_robin", ejection=None) as echo:
            service = stub(echo)
            for _ in range(4):
                assert (await service.One(say())).server == "a"
                assert [heard.server async for heard in service.Many(say(times=1))] == ["a"]
                assert (await service.Sum(iter([say("x"), say("y")]))).text == "x y"
                assert [heard.text async for heard in service.Talk(iter([say("x"), say("y")]))] == ["x", "y"]

    asyncio.run(main())
    assert pair[0].echo.seen == {"One": 12, "Many": 8, "Sum": 8, "Talk": 8}


def test_nobody_can_be_connected_to(make_client: MakeClient) -> None:
    client = make_client()
    port = free_port()
    client.register("echo", port, id="late").wait_registered(LIMIT)
    with channel(client, "echo") as echo:
        with pytest.raises(grpc.RpcError, match="can't connect to late") as raised:
            stub(echo).One(say())
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        threading.Timer(0.5, lambda: started.append(Server("late", port=port))).start()
        started: list[Server] = []
        assert stub(echo).One(say(), wait_for_ready=True, timeout=LIMIT).server == "late"
        started[0].stop().wait()


def test_a_server_that_stopped_without_a_word_gets_no_rpc(make_client: MakeClient, pair: list[Server]) -> None:
    """Its node stays, and its connection was ready; no RPC fails."""
    client = make_client()
    for server in pair:
        server.register(client)
    with channel(client, "echo", balancer="round_robin", ejection=None) as echo:
        echo.view.wait_ready(LIMIT, at_least=2)
        assert heard_by(echo) == {"a", "b"}
        pair[0].stop().wait()
        wait_until(lambda: connections_to(pair[0]) == 0)
        assert heard_by(echo) == {"b"}
        again = Server("a", port=pair[0].port)  # at the same address: no new registration
        wait_until(lambda: heard_by(echo) == {"a", "b"})
        again.stop().wait()


def test_the_first_rpc_waits_until_the_service_is_loaded(make_client: MakeClient, pair: list[Server]) -> None:
    owner = make_client()
    pair[0].register(owner)
    with channel(make_client(), "echo") as echo:
        assert stub(echo).One(say()).server == "a"
        assert stub(echo).One.future(say()).result(LIMIT).server == "a"


def test_a_client_that_reaches_no_zookeeper(make_client: MakeClient) -> None:
    with channel(make_client(f"127.0.0.1:{free_port()}"), "echo") as echo:
        with pytest.raises(grpc.RpcError) as raised:
            stub(echo).One(say(), timeout=0.2)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
