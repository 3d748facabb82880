"""requests calls services by name: `http://payments.zk/orders` goes to an instance of `payments`.

```python
import requests

from zkdiscovery import Client
from zkdiscovery.integrations.requests import Adapter

client = Client("zk1:2181,zk2:2181,zk3:2181", namespace="/shop")

with requests.Session() as session:
    adapter = Adapter(client)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    response = session.get("http://payments.zk/orders", params={"page": 2}, timeout=2.0)
    response.raise_for_status()
```

The balancer picks an instance for each request. `http` goes to its port, and `https` to its TLS port, where the
certificate must be for the host of the URL, here `payments.zk`. A port in the URL is not used. `response.url`, the Host
header, cookies and redirects are the service's. Hosts outside `.zk` are called as ever, and through proxies, which
services never are.

If no connection can be made, another instance is tried, three in all; nothing was sent until then. Nothing else is
retried, unless you give `max_retries`: each retry goes to the instance that the balancer picks then. The outcome is
reported when the response is read or closed. Errors of the connection, timeouts, 429 and 5xx are failures, so instances
that fail are called less and ejected.

Threads: as a session of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Unpack
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidHeader, InvalidURL, RetryError, UnrewindableBodyError
from requests.utils import rewind_body
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError
from urllib3.util import Retry, Timeout

from zkdiscovery.balancing import Outcome
from zkdiscovery.discovery import Attempt, ViewOptions
from zkdiscovery.integrations.clients import plain_client
from zkdiscovery.integrations.names import Answer, AnyClient, ServiceNames, Target, failed
from zkdiscovery.validation import join_host_port

Key = Callable[[requests.PreparedRequest], str | None]

# What is no fault of the instance, though requests raises it.
_OURS = (InvalidHeader, InvalidURL)


class Adapter(HTTPAdapter):
    """Sends requests to instances of the services that their hosts name.

    Requests to hosts outside `.zk` are sent as they are, unless `service` is given.

    Args:
        client: discovers the services. It is not closed with the session.
        service: the service that all requests go to, for names that are no host names, such as those with capital
            letters: `session.mount("http://payments.zk/", Adapter(client, service="Payments"))`. None: the part of the
            host before `.zk` is the name.
        key: what a request is about, for balancers that send one key to one instance: `key=lambda request: …`.
        max_retries: as in `HTTPAdapter`: a number counts connections that could not be made, a `Retry` says more.
        pool_connections: instances, and hosts outside `.zk`, whose connections are kept.
        pool_maxsize: connections kept of each.
        pool_block: whether a request waits for one of them, instead of making another one.
        options: those of `Client.discover`, such as `balancer`, for the views of all services.

    Raises from a request:
        requests.ConnectionError: nothing can be picked, and `__cause__` says why, a `NoInstanceAvailable`; or no
            connection could be made.
    """

    def __init__(
        self,
        client: AnyClient,
        service: str | None = None,
        *,
        key: Key | None = None,
        max_retries: int | Retry = 0,
        pool_connections: int = 100,
        pool_maxsize: int = 10,
        pool_block: bool = False,
        **options: Unpack[ViewOptions],
    ) -> None:
        super().__init__(pool_connections, pool_maxsize, max_retries, pool_block)
        self._names = ServiceNames(plain_client(client), service, options)
        self._key = key or (lambda _: None)
        self._below = _InstanceAdapter(pool_connections, pool_maxsize, pool_block=pool_block)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send the request to an instance, or outside."""
        url = urlsplit(request.url or "")

        def fail(message: str) -> requests.ConnectionError:
            return requests.ConnectionError(message, request=request)

        target = self._names.target(url.hostname, tls=url.scheme == "https", fail=fail)
        if target is None:
            return super().send(request, stream, timeout, verify, cert, proxies)
        options = {"stream": stream, "timeout": timeout, "verify": verify, "cert": cert}
        target.load(_connect_timeout(timeout))
        return self._retrying(request, lambda: self._send(target, request, options))

    def _send(self, target: Target, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        """Send the request once, to the first instance that a connection can be made to."""
        for attempt in target.attempts(self._key(request)):
            try:
                return self._below.send(_Addressed(request, attempt, target), **options)
            except requests.RequestException as error:
                error.request = request
                if isinstance(error, _OURS):
                    attempt.report(Outcome.CANCELLED)
                    raise
                failed(attempt, error)
                if not isinstance(_reason(error), NewConnectionError):
                    raise
                failure = error
            except BaseException:  # Ctrl-C, or an error of the body that the caller sends
                attempt.report(Outcome.CANCELLED)
                raise
        raise failure

    def _retrying(self, request: requests.PreparedRequest, send: Callable[[], requests.Response]) -> requests.Response:
        """Send as often as `max_retries` says. urllib3 would send to the same instance again, so it sends once."""
        retries: Retry = self.max_retries
        method = request.method or ""
        while True:
            try:
                response = send()
            except (requests.ConnectionError, requests.Timeout) as error:
                reason = _reason(error)
                if reason is None or not _may_resend(request, reason):
                    raise
                try:
                    retries = retries.increment(method, request.url, error=reason)
                except HTTPError:
                    raise error from error.__cause__
                retries.sleep()
            else:
                if not retries.is_retry(method, response.status_code, "Retry-After" in response.headers):
                    return response
                try:
                    retries = retries.increment(method, request.url, response=response.raw)
                except MaxRetryError as error:
                    if not retries.raise_on_status:
                        return response
                    response.close()
                    raise RetryError(error, request=request) from error
                if not _may_resend(request):
                    return response
                response.close()
                retries.sleep(response.raw)

    def close(self) -> None:
        """Close the connections."""
        self._names.close()
        self._below.close()
        super().close()

    def __reduce__(self) -> str:
        raise TypeError("an adapter with a client of zkdiscovery can't be pickled; make one in the other process")


class _InstanceAdapter(HTTPAdapter):
    """Sends to the address that a request has, and checks the certificate for its service."""

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Return what makes a pool of connections: host and port, and what TLS checks."""
        host: Any
        tls: Any
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        if isinstance(request, _Addressed) and host["scheme"] == "https":
            tls["server_hostname"] = request.server_hostname  # for SNI too; a part of the key of the pool
        return host, tls

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return the response of the service."""
        response = super().build_response(req, resp)
        return _Response(response, req) if isinstance(req, _Addressed) else response


class _Addressed(requests.PreparedRequest):
    """A copy that goes to the instance of an attempt; the request itself stays the service's."""

    def __init__(self, request: requests.PreparedRequest, attempt: Attempt, target: Target) -> None:
        self.__dict__.update(request.__dict__)
        self.original = request
        self.attempt = attempt
        url = urlsplit(request.url or "")
        self.server_hostname = url.hostname
        self.headers = request.headers.copy()
        self.headers.setdefault("Host", url.netloc.rpartition("@")[2])
        instance = attempt.instance
        self.url = url._replace(netloc=join_host_port(instance.host, target.port(instance))).geturl()


class _Response(requests.Response):
    """A response of the service, which reports its end."""

    def __init__(self, response: requests.Response, request: _Addressed) -> None:
        self.__dict__.update(response.__dict__)
        self.url = request.original.url or ""
        self.request = request.original
        error = None
        if not self.ok:
            error = requests.HTTPError(f"status {self.status_code}", response=self, request=self.request)
        self._answer = Answer(request.attempt, error)

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        return self._watched(super().iter_content(chunk_size, decode_unicode))

    def _watched(self, chunks: Iterator[Any]) -> Iterator[Any]:
        yield from self._answer.watch(chunks)
        self._answer.ended()

    def close(self) -> None:
        super().close()
        self._answer.ended()


def _reason(error: requests.RequestException) -> Exception | None:
    """Return what urllib3 says about an error."""
    inner = error.args[0] if error.args else None
    if isinstance(inner, MaxRetryError):
        inner = inner.reason
    return inner if isinstance(inner, Exception) else None


def _connect_timeout(timeout: Any) -> float | None:
    """The seconds for connecting, in any of the forms that requests takes."""
    if isinstance(timeout, tuple):
        timeout = timeout[0]
    elif isinstance(timeout, Timeout):
        timeout = timeout.connect_timeout
    return timeout if isinstance(timeout, (int, float)) else None


def _may_resend(request: requests.PreparedRequest, error: Exception | None = None) -> bool:
    """Return whether the body is still there: no generator that has been read."""
    body: object = request.body
    if body is None or isinstance(body, (str, bytes)) or isinstance(error, NewConnectionError):
        return True
    try:
        rewind_body(request)
    except UnrewindableBodyError:
        return False
    return True
