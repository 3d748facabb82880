"""The lifespan without a server: in test clients, on the main thread, around an application's own lifespan."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.conftest import MakeClient
from tests.integration.docs.samples import free_port
from tests.integration.servers.webclient import TestClient
from tests.support import Truth
from zkdiscovery import AsyncClient, Client, InvalidInstance, InvalidName, Status
from zkdiscovery.integrations import asgi
from zkdiscovery.testing import ZookeeperServer

PLACE: Any = {"host": "127.0.0.1", "id": "one"}


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client()


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/services/payments"


def lifespan(client: Client, **options: Any) -> asgi.lifespan:
    """A lifespan for a port at which nobody listens."""
    return asgi.lifespan(client, "payments", port=free_port(), **PLACE, **options)


@pytest.mark.parametrize("framework", [FastAPI, Starlette])
def test_clients_of_tests(framework: Any, client: Client, truth: Truth, path: str) -> None:
    served = lifespan(client)
    app = framework(lifespan=served)
    app.add_middleware(asgi.Health)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    for _ in range(2):  # one after the other, with one client
        with TestClient(app) as web:
            assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
            served.registration.wait_registered()
            assert served.registration.instance.status is Status.STARTING
            assert web.get("/readyz").text.startswith("ready")
        assert truth.children(path) == []
    assert client.service_names() is not None, "the client is still open"


def test_the_state_of_the_own_lifespan_is_passed_on(client: Client) -> None:
    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        yield {"app": app, "prices": {"tea": 3}}

    app = FastAPI(lifespan=lifespan(client, wrap=own))

    @app.get("/")
    def price(request: Request) -> int:
        assert request.state.app is app
        tea: int = request.state.prices["tea"]
        return tea

    with TestClient(app) as web:
        assert web.get("/").json() == 3


def test_the_own_lifespan_is_around_the_registration(client: Client, truth: Truth, path: str) -> None:
    seen: list[list[str]] = []

    @asynccontextmanager
    async def own(_app: object) -> AsyncIterator[None]:
        seen.append(truth.children(path))
        yield
        seen.append(truth.children(path))
        client.discover("payments").wait_ready(None, at_least=0)  # still open

    served = lifespan(client, wrap=own)
    with TestClient(Starlette(lifespan=served)):
        served.registration.wait_registered()
        assert truth.children(path) == ["one"]
    assert seen == [[], []]


def test_an_own_lifespan_that_fails_at_the_start(client: Client, truth: Truth, path: str) -> None:
    @asynccontextmanager
    async def own(_app: object) -> AsyncIterator[None]:
        raise LookupError("no database")
        yield

    served = lifespan(client, wrap=own)
    with pytest.raises(LookupError, match="no database"), TestClient(Starlette(lifespan=served)):
        pass
    assert truth.children(path) == []


def test_an_own_lifespan_that_fails_at_the_end(client: Client, truth: Truth, path: str) -> None:
    @asynccontextmanager
    async def own(_app: object) -> AsyncIterator[None]:
        yield
        raise LookupError("the database is gone")

    served = lifespan(client, wrap=own)
    with pytest.raises(LookupError, match="is gone"), TestClient(Starlette(lifespan=served)):
        served.registration.wait_registered()
    assert truth.children(path) == []


def test_a_service_that_can_not_be_registered_ends_the_own_lifespan(client: Client) -> None:
    ended = []

    @asynccontextmanager
    async def own(_app: object) -> AsyncIterator[None]:
        try:
            yield
        finally:
            ended.append(True)

    served = asgi.lifespan(client, "no/name", port=8080, wrap=own)
    with pytest.raises(InvalidName), TestClient(Starlette(lifespan=served)):
        pass
    assert ended == [True]


def test_on_the_main_thread_handlers_are_there_for_as_long_as_it_lasts(client: Client) -> None:
    async def serve() -> None:
        before = signal.getsignal(signal.SIGTERM)
        async with lifespan(client)("app"):
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) is before

    asyncio.run(serve())


def test_a_list_of_lifespans(client: Client) -> None:
    """Litestar enters each of them with the application, and leaves them in reverse order."""
    first, second = lifespan(client), asgi.lifespan(client, "stock", port=free_port(), **PLACE)

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for each in (first, second):
                manager = each("app")
                assert isinstance(manager, AbstractAsyncContextManager)
                await stack.enter_async_context(manager)
            for each in (first, second):
                await asyncio.to_thread(each.registration.wait_registered)

    asyncio.run(serve())
    assert client.instances("payments") == client.instances("stock") == []


def test_cancelled_while_it_starts_it_leaves_nothing(make_client: MakeClient, truth: Truth, path: str) -> None:
    async def start_and_cancel(manager: AbstractAsyncContextManager[object], steps: int) -> None:
        task = asyncio.create_task(manager.__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return
        await manager.__aexit__(None, None, None)  # it was faster

    before = signal.getsignal(signal.SIGTERM)
    for steps in range(4):
        client = make_client()
        asyncio.run(start_and_cancel(lifespan(client)("app"), steps))
        assert signal.getsignal(signal.SIGTERM) is before
        client.wait_connected()
        assert truth.children(path) == []


def test_an_asynchronous_client(zkdiscovery_server: ZookeeperServer, namespace: str) -> None:
    client = AsyncClient(zkdiscovery_server.hosts, namespace=namespace)
    served = asgi.lifespan(client, "payments", port=free_port(), **PLACE)

    async def found(_request: object) -> PlainTextResponse:
        await client.discover("payments").wait_ready(at_least=0)
        return PlainTextResponse((await client.instances("payments"))[0].id)

    with TestClient(Starlette(lifespan=served, routes=[Route("/", found)])) as web:
        served.registration.wait_registered()
        assert web.get("/").text == "one"
    client.sync.close()


def test_one_that_shares_drains_for_its_delay_although_another_goes_on(client: Client, make_client: MakeClient) -> None:
    """Callers have idle connections to each of the processes that are stopped together."""
    port, delay = free_port(), 0.5
    shared: Any = {**PLACE, "on_conflict": "share", "drain_delay": delay}
    other = make_client().register("payments", port, **shared).wait_registered()
    served = asgi.lifespan(client, "payments", port=port, **shared)

    async def serve() -> float:
        async with served("app"):
            await asyncio.to_thread(served.registration.wait_registered)
            begun = time.monotonic()
            await asyncio.to_thread(client.drain)
            return time.monotonic() - begun

    assert asyncio.run(serve()) >= delay
    other.wait_registered()


@pytest.mark.parametrize("port", [0, None])
def test_a_port_is_needed(port: Any) -> None:
    with pytest.raises(InvalidInstance, match="needs the port that callers use"):
        asgi.lifespan(Client(), "payments", port=port)


def test_before_it_runs_there_is_no_registration(client: Client) -> None:
    served = lifespan(client)
    with pytest.raises(RuntimeError, match="not running"):
        _ = served.registration
    with pytest.raises(RuntimeError, match="not running"):
        asyncio.run(served.drained())
