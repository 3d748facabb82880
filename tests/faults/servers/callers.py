"""Callers for the load: each is a context manager around a client of ours, and calls `payments` by its name.

To add one, write a class with `picks`, `__init__(client)`, `call(path)` and the two methods of a context manager.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self

import httpx

from tests.faults.servers.load import Picks
from tests.support import LIMIT
from zkdiscovery import Client
from zkdiscovery.integrations.httpx import AsyncTransport, Transport

URL = "http://payments.zk"


class Httpx:
    """httpx.Client."""

    def __init__(self, client: Client) -> None:
        self.picks = Picks()
        self._http = httpx.Client(mounts={"all://*.zk": Transport(client, balancer=self.picks)}, timeout=LIMIT)

    def call(self, path: str) -> str:
        return self._http.get(URL + path).raise_for_status().text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()


class OnLoop:
    """Base of the callers that need an event loop: it runs on a thread of its own."""

    def __init__(self, client: Client) -> None:
        self.picks = Picks()
        self._client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    async def open(self) -> None:
        """Make the client of the library."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close it."""
        raise NotImplementedError

    async def fetch(self, path: str) -> str:
        """One call."""
        raise NotImplementedError

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the loop; any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(2 * LIMIT)

    def call(self, path: str) -> str:
        answer: str = self.run(self.fetch(path))
        return answer

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self.open())
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.run(self.close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(LIMIT)
            self._loop.close()


class AsyncHttpx(OnLoop):
    """httpx.AsyncClient."""

    async def open(self) -> None:
        mounts = {"all://*.zk": AsyncTransport(self._client, balancer=self.picks)}
        self._http = httpx.AsyncClient(mounts=mounts, timeout=LIMIT)

    async def close(self) -> None:
        await self._http.aclose()

    async def fetch(self, path: str) -> str:
        return (await self._http.get(URL + path)).raise_for_status().text
