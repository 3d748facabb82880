"""aiohttp calls services by name: `http://payments.zk/orders` goes to an instance of `payments`.

```python
import aiohttp

from zkdiscovery import AsyncClient
from zkdiscovery.integrations.aiohttp import Middleware

async with (
    AsyncClient("zk1:2181,zk2:2181,zk3:2181", namespace="/shop") as client,
    aiohttp.ClientSession(middlewares=[Middleware(client)], timeout=aiohttp.ClientTimeout(total=2.0)) as session,
    session.get("http://payments.zk/orders", params={"page": 2}, raise_for_status=True) as response,
):
    orders = await response.json()
```

The balancer picks an instance for each request. `http` goes to its port, and `https` to its TLS port, where the
certificate must be for the host of the URL, here `payments.zk`. A port in the URL is not used. `response.url`, the Host
header, cookies and redirects are the service's. Hosts outside `.zk` are called as ever, and through proxies, which
services never are. WebSockets work as well.

If no connection can be made, another instance is tried, three in all; nothing was sent until then. aiohttp itself
repeats an idempotent request once if the server cuts it off; an instance is picked for it as for any other. The
outcome is reported when the response is read or closed. Errors of the connection, timeouts, 429 and 5xx are failures,
so instances that fail are called less and ejected.

Middlewares that are listed before this one, such as one that retries, see the service's URL. Those after it see the
instance's.

Threads: as a session of aiohttp, one event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import aiohttp

from zkdiscovery.balancing import Outcome
from zkdiscovery.discovery import Attempt, ViewOptions
from zkdiscovery.integrations.names import Answer, AnyClient, ServiceNames, Target, async_client, failed

Key = Callable[[aiohttp.ClientRequest], str | None]

_SECURE = frozenset({"https", "wss"})


class Middleware:
    """Sends requests to instances of the services that their hosts name.

    Requests to hosts outside `.zk` are sent as they are.

    Args:
        client: discovers the services. It is not closed with the session.
        service: the service that requests to `host` go to, for names that are no host names, such as those with capital
            letters: `Middleware(client, service="Payments", host="payments.zk")`. None: the part of the host before
            `.zk` is the name.
        host: the only host that this middleware looks at; None: all hosts below `.zk`.
        key: what a request is about, for balancers that send one key to one instance: `key=lambda request: …`.
        options: those of `Client.discover`, such as `balancer`, for the views of all services.

    Raises from a request:
        aiohttp.ClientConnectionError: nothing can be picked, and `__cause__` says why, a `NoInstanceAvailable`; or no
            connection could be made.
    """

    def __init__(
        self,
        client: AnyClient,
        service: str | None = None,
        *,
        host: str | None = None,
        key: Key | None = None,
        **options: Unpack[ViewOptions],
    ) -> None:
        if (service is None) != (host is None):
            raise TypeError("give both `service` and `host`, or neither")
        self._names = ServiceNames(async_client(client), service, options)
        self._host = host
        self._key = key or (lambda _: None)

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request to an instance, or outside."""
        host = request.url.host
        if self._host is not None and host != self._host:
            return await handler(request)
        tls = request.url.scheme in _SECURE
        target = self._names.target(host, tls=tls, fail=aiohttp.ClientConnectionError)
        if target is None:
            return await handler(request)
        url, server_hostname = request.url, request.server_hostname
        request.update_proxy(None, None, None)
        # For SNI, and a part of the key of the pool. Of `http` it would only keep connections apart.
        if tls and server_hostname is None:
            request.server_hostname = host
        try:
            await target.aload()
            return await self._send(target, request, handler)
        finally:  # for middlewares that send the request again
            request.url, request.server_hostname = url, server_hostname

    async def _send(
        self, target: Target, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request once, to the first instance that a connection can be made to."""
        url, timer = request.url, request._timer  # noqa: SLF001 - only it tells its timeout from a cancellation
        for attempt in target.attempts(self._key(request)):
            instance = attempt.instance
            request.url = url.with_host(instance.host).with_port(target.port(instance))
            try:
                with timer:  # cancels this task when the session's total time is over, and makes that a TimeoutError
                    response = await handler(request)
            except aiohttp.ClientConnectorError as error:
                failed(attempt, error)
                failure = error
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                if _is_of_the_body(error):
                    attempt.report(Outcome.CANCELLED)
                else:
                    failed(attempt, error)
                raise
            except BaseException:
                attempt.report(Outcome.CANCELLED)
                raise
            else:
                _report_at_end(attempt, response, timer.assert_timeout)
                return response
        raise failure


def _report_at_end(attempt: Attempt, response: aiohttp.ClientResponse, refuse_timeout: Callable[[], None]) -> None:
    """Report the outcome when the response gives its connection back.

    Args:
        attempt: to report to.
        response: whose headers have come.
        refuse_timeout: raises TimeoutError when the session's total time is over.
    """
    error = None
    if not response.ok:
        error = aiohttp.ClientResponseError(
            response.request_info, (), status=response.status, message=response.reason or "", headers=response.headers
        )
    answer = Answer(attempt, error)
    if response.connection is None:  # read already
        answer.ended()
        return
    content = response.content

    def ended() -> None:
        broken = content.exception()
        if _is_closed_early(broken):  # by the caller, or because the session's time was over while it read
            broken = None
            try:
                refuse_timeout()
            except TimeoutError as timeout:
                broken = timeout
        answer.ended(broken)

    response.connection.add_callback(ended)


def _is_of_the_body(error: Exception) -> bool:
    """Return whether the body that the caller sends has raised. aiohttp makes it an error of the connection."""
    cause = error.__cause__
    return (
        type(error) is aiohttp.ClientConnectionError
        and cause is not None
        and not isinstance(cause, (aiohttp.ClientError, OSError))
    )


def _is_closed_early(error: BaseException | None) -> bool:
    """Return whether it is what aiohttp leaves in a body that is closed before it was read to the end."""
    return type(error) is aiohttp.ClientConnectionError and str(error) == "Connection closed"
