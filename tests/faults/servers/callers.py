"""Callers for the load: each is a context manager around a client of ours, and calls `payments` by its name.

To add one, write a class with `picks`, `__init__(client)`, `call(path)` and the two methods of a context manager.
"""

from __future__ import annotations

from typing import Self

import aiohttp
import httpx
import requests

from tests.faults.servers.load import Picks
from tests.loops import LoopThread
from tests.support import LIMIT
from zkdiscovery import Client
from zkdiscovery.integrations.aiohttp import Middleware
from zkdiscovery.integrations.httpx import AsyncTransport, Transport
from zkdiscovery.integrations.requests import Adapter

URL = "http://payments.zk"


def _keeping_connections() -> httpx.HTTPTransport:
    """Keep as many idle connections as there are.

    httpcore closes surplus idle ones, and takes for idle what it has just given to another thread.
    """
    return httpx.HTTPTransport(limits=httpx.Limits(max_connections=100, max_keepalive_connections=100))


class Httpx:
    """httpx.Client."""

    def __init__(self, client: Client) -> None:
        self.picks = Picks()
        transport = Transport(client, balancer=self.picks, transport=_keeping_connections)
        self._http = httpx.Client(mounts={"all://*.zk": transport}, timeout=LIMIT)

    def call(self, path: str) -> str:
        return self._http.get(URL + path).raise_for_status().text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()


class Requests:
    """requests.Session; a session for each thread would be as well."""

    def __init__(self, client: Client) -> None:
        self.picks = Picks()
        self._session = requests.Session()
        self._session.mount("http://", Adapter(client, balancer=self.picks, pool_maxsize=64))

    def call(self, path: str) -> str:
        response = self._session.get(URL + path, timeout=LIMIT)
        response.raise_for_status()
        return response.text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._session.close()


class OnLoop:
    """Base of the callers that need an event loop."""

    def __init__(self, client: Client) -> None:
        self.picks = Picks()
        self._client = client
        self._loop = LoopThread()

    async def open(self) -> None:
        """Make the client of the library."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close it."""
        raise NotImplementedError

    async def fetch(self, path: str) -> str:
        """One call."""
        raise NotImplementedError

    def call(self, path: str) -> str:
        return self._loop.run(self.fetch(path))

    def __enter__(self) -> Self:
        self._loop.__enter__()
        self._loop.run(self.open())
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._loop.run(self.close())
        finally:
            self._loop.__exit__()


class AsyncHttpx(OnLoop):
    """httpx.AsyncClient."""

    async def open(self) -> None:
        mounts = {"all://*.zk": AsyncTransport(self._client, balancer=self.picks)}
        self._http = httpx.AsyncClient(mounts=mounts, timeout=LIMIT)

    async def close(self) -> None:
        await self._http.aclose()

    async def fetch(self, path: str) -> str:
        return (await self._http.get(URL + path)).raise_for_status().text


class Aiohttp(OnLoop):
    """aiohttp.ClientSession. It repeats an idempotent request by itself if the server cuts it off."""

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            middlewares=[Middleware(self._client, balancer=self.picks)], timeout=aiohttp.ClientTimeout(total=LIMIT)
        )

    async def close(self) -> None:
        await self._session.close()

    async def fetch(self, path: str) -> str:
        async with self._session.get(URL + path, raise_for_status=True) as response:
            return await response.text()
