"""The synchronous channel: generated stubs, outcomes, deadlines, interceptors."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.experimental
import pytest

from tests.conftest import MakeClient
from tests.integration.integrations.grpc_servers import Server, say, servers, stub
from tests.support import LIMIT, Recorder, wait_until
from zkdiscovery import Client, ClientClosed
from zkdiscovery.integrations.grpc import channel
from zkdiscovery.integrations.grpc.sync import Channel


@pytest.fixture
def pair() -> Iterator[list[Server]]:
    with servers("a", "b") as running:
        yield running


@pytest.fixture
def client(make_client: MakeClient, pair: list[Server]) -> Client:
    client = make_client()
    for server in pair:
        server.register(client)
    return client


@pytest.fixture
def echo(client: Client) -> Iterator[Channel]:
    with channel(client, "echo", balancer="round_robin") as made:
        made.view.wait_ready(LIMIT, at_least=2)
        yield made


def counts(channel: Channel) -> tuple[int, int, int]:
    """Calls in flight, successes and failures of all instances."""
    reports = channel.view.explain()
    return sum(r.in_flight for r in reports), sum(r.successes for r in reports), sum(r.failures for r in reports)


def sayings(count: int) -> Iterator[Any]:
    return (say(str(number)) for number in range(count))


def test_stubs_of_all_four_kinds_reach_all_instances(echo: Channel) -> None:
    service = stub(echo)
    assert {service.One(say()).server for _ in range(4)} == {"a", "b"}
    assert {tuple(heard.server for heard in service.Many(say(times=3))) for _ in range(2)} == {("a",) * 3, ("b",) * 3}
    assert service.Sum(sayings(3)).text == "0 1 2"
    assert [heard.text for heard in service.Talk(sayings(3))] == ["0", "1", "2"]
    wait_until(lambda: counts(echo) == (0, 8, 0))


def test_with_call_and_metadata(echo: Channel) -> None:
    service = stub(echo)
    for response, call in (
        service.One.with_call(request=say(), metadata=(("who", "me"),), timeout=5.0),
        service.Sum.with_call(
            request_iterator=sayings(1), metadata=(("who", "me"),), compression=grpc.Compression.Gzip
        ),
    ):
        assert call.code() is grpc.StatusCode.OK
        assert dict(call.initial_metadata())["served-by"] == response.server
        assert dict(call.trailing_metadata())["ended-by"] == response.server


def test_futures(echo: Channel) -> None:
    done = Recorder[Any]()
    future = stub(echo).One.future(say())
    future.add_done_callback(done)
    assert isinstance(future, grpc.Call)
    assert isinstance(future, grpc.Future)
    assert future.result(LIMIT).text == "hello"
    assert done.wait(lambda items: len(items) == 1) == [future]
    assert (future.done(), future.cancelled(), future.exception(), future.code()) == (
        True,
        False,
        None,
        grpc.StatusCode.OK,
    )
    assert stub(echo).Sum.future(sayings(2)).result(LIMIT).text == "0 1"  # nobody keeps the future
    stub(echo).One.future(say(pause=0.2)).add_done_callback(done)  # nobody keeps it, but the callback wants its result
    assert done.wait(lambda items: len(items) == 2)[1].result().text == "hello"
    wait_until(lambda: counts(echo) == (0, 3, 0))


@pytest.mark.parametrize(
    ("code", "failures"),
    [
        ("UNAVAILABLE", 1), ("DEADLINE_EXCEEDED", 1), ("RESOURCE_EXHAUSTED", 1), ("INTERNAL", 1), ("UNKNOWN", 1),
        ("DATA_LOSS", 1), ("NOT_FOUND", 0), ("INVALID_ARGUMENT", 0), ("PERMISSION_DENIED", 0), ("ABORTED", 0),
    ],
)  # fmt: skip
def test_what_counts_as_a_failure(echo: Channel, code: str, failures: int) -> None:
    service = stub(echo)
    with pytest.raises(grpc.RpcError) as raised:
        service.One(say(code=code))
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode[code], "as told")
    assert counts(echo) == (0, 1 - failures, failures)
    heard = service.Many(say(times=1, code=code))
    assert next(heard).text == "hello 0"
    with pytest.raises(grpc.RpcError):
        next(heard)
    wait_until(lambda: counts(echo) == (0, 2 - 2 * failures, 2 * failures))
    assert service.One.future(say(code=code)).exception(LIMIT).code() is grpc.StatusCode[code]
    wait_until(lambda: counts(echo) == (0, 3 - 3 * failures, 3 * failures))


def test_a_cancelled_rpc_counts_neither_way(echo: Channel) -> None:
    service = stub(echo)
    future = service.One.future(say(pause=5.0))
    stream = service.Many(say(times=1, pause=20.0))
    assert next(stream).text == "hello 0"
    assert counts(echo)[0] == 2
    assert future.cancel()
    stream.cancel()
    with pytest.raises(grpc.FutureCancelledError):
        future.result(LIMIT)
    wait_until(lambda: counts(echo) == (0, 0, 0))


@pytest.mark.parametrize("options", [(), [(grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)]])
def test_an_abandoned_stream_is_cancelled(client: Client, options: Any) -> None:
    with channel(client, "echo", options=options) as echo:
        stream = stub(echo).Many(say(times=1, pause=20.0))
        assert next(stream).text == "hello 0"
        assert counts(echo)[0] == 1
        del stream
        gc.collect()
        wait_until(lambda: counts(echo) == (0, 0, 0))
        assert [heard.text for heard in stub(echo).Many(say(times=1))] == ["hello 0"]
        wait_until(lambda: counts(echo) == (0, 1, 0))


def test_a_timeout_is_a_failure(echo: Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        stub(echo).One(say(pause=1.0), timeout=0.2)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert counts(echo) == (0, 0, 1)


def test_what_the_caller_did_wrong_is_not_the_instances_fault(echo: Channel) -> None:
    with pytest.raises(TypeError):
        stub(echo).One(say(), metadata=5)
    assert counts(echo) == (0, 0, 0)


def test_nothing_to_pick(make_client: MakeClient) -> None:
    client = make_client()
    with channel(client, "echo") as echo:
        service = stub(echo)
        with pytest.raises(grpc.RpcError, match="no instance of 'echo'") as raised:  # it waits for the first load only
            service.One(say())
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "no instance of 'echo'" in raised.value.details()
        future = service.One.future(say())
        assert future.done()
        assert future.exception().code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.RpcError):
            list(service.Many(say()))
        begun = time.monotonic()
        with pytest.raises(grpc.RpcError) as raised:
            service.One(say(), wait_for_ready=True, timeout=0.3)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - begun >= 0.3


def test_wait_for_ready_waits_for_an_instance(make_client: MakeClient) -> None:
    client = make_client()
    with channel(client, "echo") as echo, servers("a") as (server,):
        heard = Recorder[Any]()
        call = lambda: heard(stub(echo).One(say(), wait_for_ready=True, timeout=LIMIT))  # noqa: E731
        threading.Thread(target=call).start()
        wait_until(lambda: echo.view.snapshot.loaded)
        server.register(client)
        assert heard.wait(bool)[0].server == "a"


def test_interceptors_before_the_channel(echo: Channel) -> None:
    class Twice(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
        tried: list[str] = []  # noqa: RUF012

        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            self.tried.append(continuation(client_call_details, request).result().server)
            return continuation(client_call_details, request)

        def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
            return continuation(client_call_details, (say(f"<{each.text}>") for each in request_iterator))

    service = stub(grpc.intercept_channel(echo, Twice()))
    assert {service.One(say()).server, *Twice.tried} == {"a", "b"}  # the second try goes to another instance
    assert service.One.future(say()).result(LIMIT).text == "hello"
    assert [heard.text for heard in service.Talk(sayings(2))] == ["<0>", "<1>"]


def test_the_interceptor_of_a_caller_sees_our_errors(make_client: MakeClient) -> None:
    class Pass(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            return continuation(client_call_details, request)

    with channel(make_client(), "echo") as echo, pytest.raises(grpc.RpcError) as raised:
        stub(grpc.intercept_channel(echo, Pass())).One(say())
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_key_in_the_metadata(client: Client) -> None:
    with channel(client, "echo", balancer="maglev", key="customer") as echo:
        echo.view.wait_ready(LIMIT, at_least=2)
        for customer in map(str, range(8)):
            expected = echo.view.pick(customer).id
            heard = {stub(echo).One(say(), metadata=(("customer", customer),)).server for _ in range(3)}
            assert heard == {expected}


def test_a_further_port(make_client: MakeClient, pair: list[Server]) -> None:
    client = make_client()
    client.register("mixed", 1, id="web", ports={"grpc": pair[0].port}).wait_registered(LIMIT)
    client.register("mixed", 1, id="other").wait_registered(LIMIT)
    with channel(client, "mixed", port="grpc", balancer="round_robin") as mixed:
        assert [stub(mixed).One(say()).server for _ in range(3)] == ["a"] * 3


def test_authority_is_the_service(echo: Channel, pair: list[Server]) -> None:
    assert stub(echo).One(say()).text == "hello"  # a server that is asked for `echo`, at an address


def test_closed_channels_and_clients(client: Client, echo: Channel) -> None:
    service = stub(echo)
    stream = service.Many(say(times=1, pause=20.0))
    assert next(stream).text == "hello 0"
    future = service.One.future(say(pause=1.0))
    echo.close()
    echo.close()
    with pytest.raises(grpc.RpcError) as raised:
        next(stream)
    assert raised.value.code() is grpc.StatusCode.CANCELLED
    wait_until(future.done)
    with pytest.raises(ValueError, match="closed channel"):
        service.One(say())
    other = channel(client, "echo")
    client.close()
    with pytest.raises(ClientClosed):
        stub(other).One(say())
    other.close()


def test_connectivity(make_client: MakeClient) -> None:
    client = make_client()
    with servers("a") as (server,):
        echo = channel(client, "echo")
        seen = Recorder[grpc.ChannelConnectivity]()
        echo.subscribe(seen, try_to_connect=True)
        states = grpc.ChannelConnectivity
        seen.wait(lambda items: items[-1:] == [states.TRANSIENT_FAILURE])  # loaded, and nobody is there
        server.register(client)
        seen.wait(lambda items: items[-1] is states.READY)
        grpc.channel_ready_future(echo).result(LIMIT)
        echo.unsubscribe(seen)
        other = Recorder[grpc.ChannelConnectivity]()
        echo.subscribe(other)
        other.wait(bool)
        echo.close()
        assert other.wait(lambda items: items[-1] is states.SHUTDOWN)[0] is states.READY
        assert seen.items[-1] is states.READY
