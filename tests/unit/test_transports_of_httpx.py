"""A transport of httpx that is given to the other kind of client."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from zkdiscovery.integrations.httpx import AsyncTransport, Transport
from zkdiscovery.testing import static_client


def test_a_transport_for_the_async_client() -> None:
    async def enter() -> None:
        async with httpx.AsyncClient(mounts={"all://*.zk": Transport(static_client())}):  # type: ignore[dict-item]
            pass

    async def call() -> None:
        transport = Transport(static_client())
        await httpx.AsyncClient(mounts={"all://*.zk": transport}).get("http://payments.zk/")  # type: ignore[dict-item]

    for use in (enter, call):
        with pytest.raises(TypeError, match=r"give httpx\.AsyncClient an AsyncTransport"):
            asyncio.run(use())


def test_an_async_transport_for_the_sync_client() -> None:
    def make() -> httpx.Client:
        return httpx.Client(mounts={"all://*.zk": AsyncTransport(static_client())})  # type: ignore[dict-item]

    with pytest.raises(TypeError, match=r"give httpx\.Client a Transport"), make():
        pass
    with pytest.raises(TypeError, match=r"give httpx\.Client a Transport"):
        make().get("http://payments.zk/")
