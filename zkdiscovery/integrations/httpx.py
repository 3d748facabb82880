"""httpx calls services by name: `http://payments.zk/orders` goes to an instance of `payments`.

```python
import httpx

from zkdiscovery import Client
from zkdiscovery.integrations.httpx import Transport

client = Client("zk1:2181,zk2:2181,zk3:2181", namespace="/shop")

with httpx.Client(mounts={"all://*.zk": Transport(client)}, timeout=2.0) as http:
    response = http.get("http://payments.zk/orders", params={"page": 2})
    response.raise_for_status()
```

With asyncio:

```python
from zkdiscovery import AsyncClient
from zkdiscovery.integrations.httpx import AsyncTransport

async with (
    AsyncClient("zk1:2181,zk2:2181,zk3:2181", namespace="/shop") as client,
    httpx.AsyncClient(mounts={"all://*.zk": AsyncTransport(client)}, timeout=2.0) as http,
):
    response = await http.get("http://payments.zk/orders")
```

Both take a `Client` or an `AsyncClient`.

The balancer picks an instance for each request. `http` goes to its port, and `https` to its TLS port, where the
certificate must be for the host of the URL, here `payments.zk`. A port in the URL is not used. `response.url`, the Host
header, cookies and redirects are the service's.

If no connection can be made, another instance is tried, three in all; nothing was sent until then. Nothing else is
retried. The outcome is reported when the response is closed. Errors of the connection, timeouts, 429 and 5xx are
failures, so instances that fail are called less and ejected.

Threads: `Transport` may be used by any thread, and `AsyncTransport` by one event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, NoReturn, TypeVar, Unpack

import httpx

from zkdiscovery.balancing import Outcome
from zkdiscovery.discovery import Attempt, ViewOptions
from zkdiscovery.integrations.clients import plain_client
from zkdiscovery.integrations.names import (
    Answer,
    AnyClient,
    Discovers,
    ServiceNames,
    Target,
    async_client,
    failed,
)

T = TypeVar("T")

Key = Callable[[httpx.Request], str | None]

# What is no fault of the instance, though httpx raises it: of our pool, of the request, of our own side's protocol.
_OURS = (httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.LocalProtocolError)


_FOR_SYNC = "Transport is for httpx.Client; give httpx.AsyncClient an AsyncTransport"
_FOR_ASYNC = "AsyncTransport is for httpx.AsyncClient; give httpx.Client a Transport"


class _Requests(Generic[T]):
    """The part that both transports share: targets, and the transports below, one for each host that names a service.

    A pool of httpx takes connections for equal if their addresses are. It would send a request for one service over a
    connection whose certificate was checked for another one, so each host has a pool of its own.
    """

    def __init__(
        self, client: Discovers, service: str | None, key: Key | None, make: Callable[[], T], options: ViewOptions
    ) -> None:
        self._names = ServiceNames(client, service, options)
        self._make = make
        self.key = key or (lambda _: None)
        self._below: dict[str, T] = {}

    def below(self, host: str = "") -> T:
        """The transport for the host of a service; "": for all that is no service."""
        return self._below.get(host) or self._below.setdefault(host, self._make())

    def target(self, request: httpx.Request) -> Target | None:
        """The service that a request goes to; None if its host names none."""

        def fail(message: str) -> httpx.ConnectError:
            return httpx.ConnectError(message, request=request)

        return self._names.target(request.url.host, tls=request.url.scheme == "https", fail=fail)

    def take_all(self) -> list[T]:
        """Forget everything; return the transports, to be closed."""
        self._names.close()
        below, self._below = self._below, {}
        return list(below.values())


class Transport(httpx.BaseTransport):
    """Sends requests to instances of the services that their hosts name.

    Requests to hosts outside `.zk` are sent as they are, unless `service` is given.

    Args:
        client: discovers the services. It is not closed with the transport.
        service: the service that all requests go to, for names that are no host names, such as those with capital
            letters: `mounts={"all://payments.zk": Transport(client, service="Payments")}`. None: the part of the host
            before `.zk` is the name.
        key: what a request is about, for balancers that send one key to one instance: `key=lambda request: …`.
        transport: makes the transport that connects, one for each host, with its own pool:
            `transport=lambda: httpx.HTTPTransport(verify=context, http2=True)`.
        options: those of `Client.discover`, such as `balancer`, for the views of all services.

    Raises from a request:
        httpx.ConnectError: nothing can be picked, and `__cause__` says why, a `NoInstanceAvailable`; or no connection
            could be made.
    """

    def __init__(
        self,
        client: AnyClient,
        service: str | None = None,
        *,
        key: Key | None = None,
        transport: Callable[[], httpx.BaseTransport] = httpx.HTTPTransport,
        **options: Unpack[ViewOptions],
    ) -> None:
        self._requests = _Requests(plain_client(client), service, key, transport, options)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to an instance."""
        target = self._requests.target(request)
        if target is None:
            return self._requests.below().handle_request(request)
        target.load(_connect_timeout(request))
        for attempt in target.attempts(self._requests.key(request)):
            try:
                below = self._requests.below(request.url.host)
                response = below.handle_request(_addressed(request, attempt, target))
            except httpx.ConnectError as error:
                failed(attempt, error)
                failure = error
            except BaseException as error:
                _report(attempt, error)
                raise
            else:
                answer = Answer(attempt, _status_error(request, response))
                response.stream = _Stream(response.stream, answer)
                return response
        raise failure

    def close(self) -> None:
        """Close the connections."""
        for transport in self._requests.take_all():
            transport.close()

    async def __aenter__(self) -> NoReturn:
        raise TypeError(_FOR_SYNC)

    async def handle_async_request(self, _request: httpx.Request) -> NoReturn:
        """Raise TypeError, because this is the transport for `httpx.Client`."""
        raise TypeError(_FOR_SYNC)


class AsyncTransport(httpx.AsyncBaseTransport):
    """As `Transport`, for `httpx.AsyncClient` with asyncio; `transport` makes an `httpx.AsyncHTTPTransport`."""

    def __init__(
        self,
        client: AnyClient,
        service: str | None = None,
        *,
        key: Key | None = None,
        transport: Callable[[], httpx.AsyncBaseTransport] = httpx.AsyncHTTPTransport,
        **options: Unpack[ViewOptions],
    ) -> None:
        self._requests = _Requests(async_client(client), service, key, transport, options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to an instance."""
        target = self._requests.target(request)
        if target is None:
            return await self._requests.below().handle_async_request(request)
        await target.aload(_connect_timeout(request))
        for attempt in target.attempts(self._requests.key(request)):
            try:
                below = self._requests.below(request.url.host)
                response = await below.handle_async_request(_addressed(request, attempt, target))
            except httpx.ConnectError as error:
                failed(attempt, error)
                failure = error
            except BaseException as error:
                _report(attempt, error)
                raise
            else:
                answer = Answer(attempt, _status_error(request, response))
                response.stream = _AsyncStream(response.stream, answer)
                return response
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        for transport in self._requests.take_all():
            await transport.aclose()

    def __enter__(self) -> NoReturn:
        raise TypeError(_FOR_ASYNC)

    def handle_request(self, _request: httpx.Request) -> NoReturn:
        """Raise TypeError, because this is the transport for `httpx.AsyncClient`."""
        raise TypeError(_FOR_ASYNC)


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: Any, answer: Answer) -> None:
        self._stream = stream
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.watch(self._stream)

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._answer.ended()


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, stream: Any, answer: Answer) -> None:
        self._stream = stream
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.awatch(self._stream)

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._answer.ended()


def _addressed(request: httpx.Request, attempt: Attempt, target: Target) -> httpx.Request:
    """A copy that goes to the instance; the request itself stays the service's, so redirects stay with the service."""
    instance = attempt.instance
    return httpx.Request(
        request.method,
        request.url.copy_with(host=instance.host, port=target.port(instance)),
        headers=request.headers,  # with the service's Host
        stream=request.stream,
        extensions={"sni_hostname": request.url.host, **request.extensions},
    )


def _report(attempt: Attempt, error: BaseException) -> None:
    """Report an error that came in place of a response."""
    if isinstance(error, httpx.TransportError) and not isinstance(error, _OURS):
        failed(attempt, error)
    else:  # a cancellation, or an error of the body that the caller sends
        attempt.report(Outcome.CANCELLED)


def _status_error(request: httpx.Request, response: httpx.Response) -> httpx.HTTPStatusError | None:
    if not response.is_error:
        return None
    return httpx.HTTPStatusError(f"status {response.status_code}", request=request, response=response)


def _connect_timeout(request: httpx.Request) -> float | None:
    timeout: dict[str, float | None] = request.extensions.get("timeout", {})
    return timeout.get("connect")
