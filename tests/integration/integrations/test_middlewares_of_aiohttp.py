"""What only aiohttp has: WebSockets, and middlewares around ours."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing

import aiohttp
import pytest

from tests.integration.integrations.conftest import Watching, register
from tests.integration.integrations.web import Deaf, Web
from tests.support import LIMIT
from zkdiscovery import Client
from zkdiscovery.integrations.aiohttp import Middleware


def test_a_websocket_is_under_way_until_it_is_closed(client: Client, web: Web, balancer: Watching) -> None:
    register(client, "payments", web.port)

    async def talk() -> str:
        async with aiohttp.ClientSession(middlewares=[Middleware(client, balancer=balancer)]) as session:
            async with session.ws_connect("ws://payments.zk/socket") as websocket:
                await websocket.send_str("hello")
                answer = await websocket.receive_str(timeout=LIMIT)
                assert balancer.of("a") == (1, 0, 0)
            return answer

    assert asyncio.run(talk()) == "hello"
    assert balancer.of("a") == (0, 1, 0)


def test_a_middleware_before_ours_can_send_the_request_again(
    client: Client, web: Web, stack: ExitStack, balancer: Watching
) -> None:
    """It sees the service's URL each time, and the next instance is called."""
    other = stack.enter_context(Web())
    register(client, "payments", web.port, other.port)
    web.status = other.status = 503
    seen = []

    async def retry(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        for _ in range(2):
            seen.append(str(request.url))
            response = await handler(request)
        return response

    async def call() -> aiohttp.ClientResponse:
        ours = Middleware(client, balancer=balancer)
        async with (
            aiohttp.ClientSession(middlewares=[retry, ours]) as session,
            session.get("http://payments.zk/echo") as response,
        ):
            await response.read()
            return response

    response = asyncio.run(call())
    assert (response.status, str(response.url)) == (503, "http://payments.zk/echo")
    assert seen == ["http://payments.zk/echo"] * 2
    assert (balancer.of("a"), balancer.of("b")) == ((0, 0, 1), (0, 0, 1))


def test_middlewares_for_names_with_capital_letters_stand_beside_each_other(
    client: Client, web: Web, stack: ExitStack
) -> None:
    stock = stack.enter_context(Web())
    register(client, "Payments", web.port)
    register(client, "stock", stock.port)
    middlewares = [Middleware(client, service="Payments", host="payments.zk"), Middleware(client)]

    async def call() -> list[int]:
        ports = []
        async with aiohttp.ClientSession(middlewares=middlewares) as session:
            for name in ("payments", "stock"):
                async with session.get(f"http://{name}.zk/echo") as response:
                    ports.append((await response.json())["port"])
        return ports

    assert asyncio.run(call()) == [web.port, stock.port]
    with pytest.raises(TypeError, match="give both `service` and `host`"):
        Middleware(client, service="Payments")


def test_a_cancelled_call_is_no_failure(client: Client, stack: ExitStack, balancer: Watching) -> None:
    """While it connects, when the session's own timer would cancel the task as well, and later."""
    register(client, "payments", stack.enter_context(Deaf()).port)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        register(client, "stock", silent.getsockname()[1])

        async def call(name: str) -> None:
            async with aiohttp.ClientSession(middlewares=[Middleware(client, balancer=balancer)]) as session:
                async with asyncio.timeout(0.5):
                    await session.get(f"http://{name}.zk/echo")

        for name in ("payments", "stock"):
            with pytest.raises(TimeoutError):
                asyncio.run(call(name))
            assert balancer.of("a") == (0, 0, 0)
