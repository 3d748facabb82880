"""The libraries under one face, so that one test shows the same of all."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import httpx
import requests

from tests.loops import LoopThread
from tests.support import LIMIT
from zkdiscovery.integrations import aiohttp as our_aiohttp
from zkdiscovery.integrations import httpx as our_httpx
from zkdiscovery.integrations import requests as our_requests
from zkdiscovery.integrations.names import AnyClient

Parts = Sequence[bytes | Exception]


@dataclass
class Reply:
    """A response that was read.

    Attributes:
        raised: what `raise_for_status` raises.
    """

    status: int
    url: str
    text: str
    told: dict[str, Any]
    raised: Exception | None


class Library:
    """A client of a library in a `with` block, with our part in it.

    Args:
        client: ours.
        authority: a certificate to trust.
        only: the service that `http://payments.zk` means; None: that of the name.
        options: of the views.
    """

    connect_error: type[Exception]
    timeout_error: type[Exception]
    status_error: type[Exception]
    body_error: type[Exception]

    def __init__(
        self, client: AnyClient, authority: Path | None = None, only: str | None = None, **options: Any
    ) -> None:
        self.client = client
        self.authority = authority
        self.only = only
        self.options = options
        self.stack = ExitStack()

    def call(self, url: str, *, parts: Parts | None = None, timeout: float = LIMIT) -> Reply:
        """A GET, or a POST of a generator; redirects are followed."""
        raise NotImplementedError

    def begin(self, url: str, timeout: float = LIMIT) -> tuple[Callable[[], bytes], Callable[[], None]]:
        """Begin to read a response: functions for its next part, and to close it."""
        raise NotImplementedError

    def begin_and_forget(self, url: str) -> None:
        """Begin to read a response, and drop it."""
        self.begin(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stack.close()


def reply(response: Any, text: str, raised: Exception | None) -> Reply:
    """What all libraries tell of a response."""
    told = response.headers.get("content-type") == "application/json"
    status = response.status if hasattr(response, "status") else response.status_code
    return Reply(status, str(response.url), text, json.loads(text or "{}") if told else {}, raised)


def raised_by(function: Callable[[], object]) -> Exception | None:
    """What a function raises."""
    try:
        function()
    except Exception as error:
        return error
    return None


class Httpx(Library):
    """httpx.Client."""

    connect_error = httpx.ConnectError
    timeout_error = httpx.TimeoutException
    status_error = httpx.HTTPStatusError
    body_error = httpx.TransportError

    def __enter__(self) -> Self:
        verify = ssl.create_default_context(cafile=self.authority)

        def transport() -> httpx.HTTPTransport:
            return httpx.HTTPTransport(verify=verify)

        name = "all://payments.zk" if self.only else "all://*.zk"
        ours = our_httpx.Transport(self.client, self.only, transport=transport, **self.options)
        self._http = self.stack.enter_context(httpx.Client(mounts={name: ours}, follow_redirects=True))
        return self

    def call(self, url: str, *, parts: Parts | None = None, timeout: float = LIMIT) -> Reply:
        content = now(parts) if parts else None
        response = self._http.request("POST" if parts else "GET", url, content=content, timeout=timeout)
        return reply(response, response.text, raised_by(response.raise_for_status))

    def begin(self, url: str, timeout: float = LIMIT) -> tuple[Callable[[], bytes], Callable[[], None]]:
        response = self._http.send(self._http.build_request("GET", url, timeout=timeout), stream=True)
        parts = response.iter_bytes()
        return lambda: next(parts), response.close


class AsyncHttpx(Library):
    """httpx.AsyncClient."""

    connect_error = httpx.ConnectError
    timeout_error = httpx.TimeoutException
    status_error = httpx.HTTPStatusError
    body_error = httpx.TransportError

    def __enter__(self) -> Self:
        verify = ssl.create_default_context(cafile=self.authority)

        def transport() -> httpx.AsyncHTTPTransport:
            return httpx.AsyncHTTPTransport(verify=verify)

        name = "all://payments.zk" if self.only else "all://*.zk"
        ours = our_httpx.AsyncTransport(self.client, self.only, transport=transport, **self.options)
        self._loop = self.stack.enter_context(LoopThread())
        self._http = httpx.AsyncClient(mounts={name: ours}, follow_redirects=True)
        self.stack.callback(lambda: self._loop.run(self._http.aclose()))
        return self

    def call(self, url: str, *, parts: Parts | None = None, timeout: float = LIMIT) -> Reply:
        content = later(parts) if parts else None
        response = self._loop.run(self._http.request("POST" if parts else "GET", url, content=content, timeout=timeout))
        return reply(response, response.text, raised_by(response.raise_for_status))

    def begin(self, url: str, timeout: float = LIMIT) -> tuple[Callable[[], bytes], Callable[[], None]]:
        request = self._http.build_request("GET", url, timeout=timeout)
        response = self._loop.run(self._http.send(request, stream=True))
        parts = response.aiter_bytes()
        return lambda: self._loop.run(following(parts)), lambda: self._loop.run(response.aclose())


class Requests(Library):
    """requests.Session."""

    connect_error = requests.ConnectionError
    timeout_error = requests.Timeout
    status_error = requests.HTTPError
    body_error = requests.RequestException

    def __enter__(self) -> Self:
        self._session = self.stack.enter_context(requests.Session())
        if self.authority is not None:
            self._session.verify = str(self.authority)
        if self.only:
            self._session.mount("http://payments.zk/", our_requests.Adapter(self.client, self.only, **self.options))
        else:
            adapter = our_requests.Adapter(self.client, **self.options)
            self._session.mount("http://", adapter)
            self._session.mount("https://", adapter)
        return self

    def call(self, url: str, *, parts: Parts | None = None, timeout: float = LIMIT) -> Reply:
        body = now(parts) if parts else None
        response = self._session.request("POST" if parts else "GET", url, data=body, timeout=timeout)
        return reply(response, response.text, raised_by(response.raise_for_status))

    def begin(self, url: str, timeout: float = LIMIT) -> tuple[Callable[[], bytes], Callable[[], None]]:
        response = self._session.get(url, timeout=timeout, stream=True)
        parts: Iterator[bytes] = response.iter_content(4096)
        return lambda: next(parts), response.close


class Aiohttp(Library):
    """aiohttp.ClientSession."""

    connect_error = aiohttp.ClientConnectionError
    timeout_error = TimeoutError
    status_error = aiohttp.ClientResponseError
    body_error = aiohttp.ClientPayloadError

    def __enter__(self) -> Self:
        self._ssl = ssl.create_default_context(cafile=self.authority)
        self._loop = self.stack.enter_context(LoopThread())
        host = "payments.zk" if self.only else None
        ours = our_aiohttp.Middleware(self.client, self.only, host=host, **self.options)
        self._session = self._loop.run(self._open(ours))
        self.stack.callback(lambda: self._loop.run(self._session.close()))
        return self

    async def _open(self, ours: our_aiohttp.Middleware) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(middlewares=[ours], trust_env=True)

    def call(self, url: str, *, parts: Parts | None = None, timeout: float = LIMIT) -> Reply:
        return self._loop.run(self._call(url, parts, timeout))

    async def _call(self, url: str, parts: Parts | None, limit: float) -> Reply:
        data = later(parts) if parts else None
        async with self._session.request(
            "POST" if parts else "GET", url, data=data, timeout=aiohttp.ClientTimeout(limit), ssl=self._ssl
        ) as response:
            text = await response.text()
            return reply(response, text, raised_by(response.raise_for_status))

    def begin(self, url: str, timeout: float = LIMIT) -> tuple[Callable[[], bytes], Callable[[], None]]:
        response = self._loop.run(self._begin(url, timeout))
        parts = response.content.iter_any()
        return lambda: self._loop.run(following(parts)), lambda: self._loop.run(self._close(response))

    async def _begin(self, url: str, limit: float) -> aiohttp.ClientResponse:
        return await self._session.get(url, timeout=aiohttp.ClientTimeout(limit))

    async def _close(self, response: aiohttp.ClientResponse) -> None:
        response.close()


def now(parts: Parts) -> Iterator[bytes]:
    """A body; an exception in its place is raised."""
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


async def later(parts: Parts) -> AsyncIterator[bytes]:
    """As `now`."""
    for part in now(parts):
        yield part


async def following(parts: AsyncIterator[bytes]) -> bytes:
    return await anext(parts)


LIBRARIES: list[type[Library]] = [Httpx, AsyncHttpx, Requests, Aiohttp]
