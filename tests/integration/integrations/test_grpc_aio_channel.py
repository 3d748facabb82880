"""The asynchronous channel: generated stubs, outcomes, deadlines, interceptors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.conftest import MakeClient
from tests.integration.integrations.grpc_servers import say, servers, stub
from tests.support import LIMIT
from zkdiscovery import AsyncClient, Client, ClientClosed
from zkdiscovery.integrations.grpc import aio_channel
from zkdiscovery.integrations.grpc.aio import AioChannel

Scenario = Callable[[AioChannel, Any], Coroutine[Any, Any, None]]


@pytest.fixture
def client(make_client: MakeClient) -> Iterator[Client]:
    client = make_client()
    with servers("a", "b") as running:
        for server in running:
            server.register(client)
        yield client


def run(client: Any, scenario: Scenario, **options: Any) -> None:
    """A scenario with a channel and its stub, on a loop of its own."""

    async def main() -> None:
        async with aio_channel(client, "echo", **{"balancer": "round_robin", **options}) as echo:
            await asyncio.wait_for(scenario(echo, stub(echo)), LIMIT)

    asyncio.run(main())


def counts(channel: AioChannel) -> tuple[int, int, int]:
    """Calls in flight, successes and failures of all instances."""
    reports = channel.view.explain()
    return sum(r.in_flight for r in reports), sum(r.successes for r in reports), sum(r.failures for r in reports)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what no event tells of; the caller has a limit."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def sayings(count: int) -> AsyncIterator[Any]:
    for number in range(count):
        yield say(str(number))


def test_stubs_of_all_four_kinds_reach_all_instances(client: Client) -> None:
    async def scenario(echo: AioChannel, service: Any) -> None:
        for _ in range(2):  # at first there is no connection, then there is
            assert {(await service.One(say())).server for _ in range(2)} == {"a", "b"}
            heard = [[each.server async for each in service.Many(say(times=3))] for _ in range(2)]
            assert sorted(heard) == [["a"] * 3, ["b"] * 3]
            assert (await service.Sum(sayings(3))).text == "0 1 2"
            assert [each.text async for each in service.Talk(sayings(3))] == ["0", "1", "2"]
        await until(lambda: counts(echo) == (0, 12, 0))

    run(AsyncClient.of(client), scenario)


def test_reading_and_writing(client: Client) -> None:
    async def scenario(echo: AioChannel, service: Any) -> None:
        for _ in range(4):
            talk = service.Talk(timeout=LIMIT)
            for word in ("one", "two"):
                await talk.write(say(word))
                assert (await talk.read()).text == word
            await talk.done_writing()
            assert await talk.read() is grpc.aio.EOF
            assert await talk.code() is grpc.StatusCode.OK
            total = service.Sum()
            await total.write(say("only"))
            await total.done_writing()
            assert (await total).text == "only"
        await until(lambda: counts(echo) == (0, 8, 0))

    run(client, scenario)


def test_metadata_and_callbacks(client: Client) -> None:
    async def scenario(echo: AioChannel, service: Any) -> None:
        for _ in range(4):
            ended = asyncio.Event()
            call = service.One(say(), metadata=(("who", "me"),), timeout=5.0, compression=grpc.Compression.Gzip)
            call.add_done_callback(lambda _, ended=ended: ended.set())
            response = await call
            assert isinstance(call, grpc.aio.UnaryUnaryCall)
            assert (await call.initial_metadata())["served-by"] == response.server
            assert (await call.trailing_metadata())["ended-by"] == response.server
            assert await call.code() is grpc.StatusCode.OK
            await ended.wait()
            assert call.done()

    run(client, scenario)


@pytest.mark.parametrize(("code", "failures"), [("UNAVAILABLE", 1), ("RESOURCE_EXHAUSTED", 1), ("NOT_FOUND", 0)])
def test_what_counts_as_a_failure(client: Client, code: str, failures: int) -> None:
    async def scenario(echo: AioChannel, service: Any) -> None:
        for tried in range(1, 5):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await service.One(say(code=code))
            assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode[code], "as told")
            await until(lambda tried=tried: counts(echo) == (0, tried * (1 - failures), tried * failures))

    run(client, scenario)


def test_a_cancelled_rpc_counts_neither_way(client: Client) -> None:
    async def scenario(echo: AioChannel, service: Any) -> None:
        for _ in range(4):
            call = service.One(say(pause=5.0))
            stream = service.Many(say(times=1, pause=20.0))
            assert (await stream.read()).text == "hello 0"
            assert counts(echo)[0] == 2
            assert call.cancel()
            stream.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await stream.code() is grpc.StatusCode.CANCELLED
            await until(lambda: counts(echo) == (0, 0, 0))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(service.One(say(pause=5.0)), 0.1)
        service.One(say(pause=5.0)).cancel()  # before anything was done for it
        await until(lambda: counts(echo) == (0, 0, 0))

    run(client, scenario)


def test_nothing_to_pick(make_client: MakeClient) -> None:
    async def scenario(echo: AioChannel, service: Any) -> None:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError, match="no instance of 'echo'") as raised:
                await service.One(say())
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
            stream = service.Many(say())  # gives a call all the same
            with pytest.raises(grpc.aio.AioRpcError):
                await stream.__aiter__().__anext__()
            assert await stream.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await service.One(say(), wait_for_ready=True, timeout=0.3)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    run(make_client(), scenario)


def test_wait_for_ready_waits_for_an_instance(make_client: MakeClient) -> None:
    client = make_client()

    async def scenario(echo: AioChannel, service: Any) -> None:
        waiting = [service.One(say(), wait_for_ready=True) for _ in range(3)]
        waiting.append(service.Sum(sayings(2), wait_for_ready=True))
        given_up = service.One(say(), wait_for_ready=True)
        await until(lambda: echo.view.snapshot.loaded)
        given_up.cancel()
        with servers("a") as (server,):
            await asyncio.to_thread(server.register, client)
            assert [(await call).server for call in waiting] == ["a"] * 4
        assert given_up.cancelled()

    run(client, scenario)


def test_interceptors_run_before_the_pick(client: Client) -> None:
    tried: list[str] = []

    class Twice(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            tried.append((await (await continuation(client_call_details, request))).server)
            return await continuation(client_call_details, request)

    class Marked(grpc.aio.StreamStreamClientInterceptor):
        async def intercept_stream_stream(
            self, continuation: Any, client_call_details: Any, request_iterator: Any
        ) -> Any:
            return await continuation(client_call_details, (say(f"<{each.text}>") async for each in request_iterator))

    async def scenario(echo: AioChannel, service: Any) -> None:
        assert {(await service.One(say())).server, *tried} == {"a", "b"}  # the second try goes to another instance
        assert [each.text async for each in service.Talk(sayings(2))] == ["<0>", "<1>"]
        assert [each.text async for each in service.Many(say(times=2))] == ["hello 0", "hello 1"]

    run(client, scenario, interceptors=[Twice(), Marked()])


def test_a_key_in_the_metadata(client: Client) -> None:
    async def scenario(echo: AioChannel, service: Any) -> None:
        await asyncio.to_thread(echo.view.wait_ready, LIMIT, 2)
        for customer in map(str, range(8)):
            expected = echo.view.pick(customer).id
            heard = [await service.One(say(), metadata=(("customer", customer),)) for _ in range(3)]
            assert {each.server for each in heard} == {expected}

    run(client, scenario, balancer="maglev", key="customer")


def test_connectivity(make_client: MakeClient) -> None:
    client = make_client()
    states = grpc.ChannelConnectivity

    async def scenario(echo: AioChannel, service: Any) -> None:
        await until(lambda: echo.view.snapshot.loaded)
        assert echo.get_state() is states.TRANSIENT_FAILURE
        with servers("a") as (server,):
            await asyncio.to_thread(server.register, client)
            await asyncio.wait_for(echo.wait_for_state_change(states.TRANSIENT_FAILURE), LIMIT)
            assert echo.get_state() is states.IDLE
            await asyncio.wait_for(echo.channel_ready(), LIMIT)
            assert echo.get_state() is states.READY
            await echo.close()
            assert echo.get_state() is states.SHUTDOWN

    run(client, scenario)


def test_closing(client: Client) -> None:
    async def scenario(echo: AioChannel, service: Any) -> None:
        waited_for = service.One(say(pause=0.3))  # this one has to connect, the others need not
        assert (await service.One(say())).text == "hello"
        in_time, too_slow = service.One(say(pause=0.3)), service.Many(say(times=1, pause=20.0))
        assert (await too_slow.read()).text == "hello 0"
        await echo.close(1.0)
        assert [(await waited_for).text, (await in_time).text] == ["hello"] * 2
        assert await too_slow.code() is grpc.StatusCode.CANCELLED
        with pytest.raises(grpc.aio.UsageError, match="closed"):
            service.One(say())
        await echo.close()
        other = aio_channel(client, "echo")
        await asyncio.to_thread(client.close)
        with pytest.raises(ClientClosed):
            stub(other).One(say())
        await other.close()

    run(client, scenario)


def test_a_channel_stays_with_its_loop(client: Client) -> None:
    echo = aio_channel(client, "echo")
    service = stub(echo)

    async def call() -> str:
        answer: str = (await service.One(say())).text
        return answer

    with asyncio.Runner() as runner:
        assert runner.run(call()) == "hello"
        with pytest.raises(RuntimeError, match="make one for each loop"):
            asyncio.run(call())
        runner.run(echo.close())
