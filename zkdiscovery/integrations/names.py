"""Services by the names in URLs: what the callers for httpx, requests and aiohttp share.

A host below `.zk` names a service: `http://payments.zk/orders`. As a name in DNS with several addresses, it stands for
all instances: a caller that can't connect to one of them tries another one, because nothing was sent yet.

Threads: any thread may use a `ServiceNames`. Only `Target.load` and `Target.aload` wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import Any, Protocol, TypeVar, Unpack

from zkdiscovery.aio import AsyncClient
from zkdiscovery.client import Client
from zkdiscovery.discovery import Attempt, ViewOptions
from zkdiscovery.errors import NoInstanceAvailable, ZkDiscoveryError
from zkdiscovery.model import Instance, Snapshot

T = TypeVar("T")

AnyClient = Client | AsyncClient

DOMAIN = ".zk"
CONNECTS = 3  # instances at most that one request tries to connect to
LOADING = 10.0  # seconds at most that the first request to a service waits until it is known
VIEWS = 1000  # services at most that are followed; URLs may come from outside


class View(Protocol):
    """A view, as far as it is needed; both clients' views are one."""

    @property
    def snapshot(self) -> Snapshot: ...

    def attempt(self, key: str | None = None, exclude: Collection[str] = ()) -> Attempt: ...

    def wait_ready(self, timeout: float | None = 10.0, at_least: int = 1) -> Any: ...


class Discovers(Protocol):
    """A client, as far as it is needed."""

    def discover(self, service: str, **options: Unpack[ViewOptions]) -> View: ...


def async_client(client: AnyClient) -> AsyncClient:
    """Return the client for a library that awaits."""
    return client if isinstance(client, AsyncClient) else AsyncClient.of(client)


class ServiceNames:
    """The views of the services that URLs name.

    Args:
        client: from `plain_client` or `async_client`, which decides between `Target.load` and `Target.aload`.
        service: the service that every URL names; None: the part of the host before `.zk` is its name.
        options: of the views.
    """

    def __init__(self, client: Discovers, service: str | None, options: ViewOptions) -> None:
        self._client = client
        self._service = service
        self._options = options
        self._view = lru_cache(VIEWS)(self._discover)

    def target(self, host: str | None, *, tls: bool, fail: Callable[[str], Exception]) -> Target | None:
        """Return what a URL names; None if it names no service.

        Args:
            host: of the URL.
            tls: whether the URL asks for TLS.
            fail: makes the error to raise where no instance can be had.
        """
        service = self._service
        if service is None:
            if host is None or not host.endswith(DOMAIN):
                return None
            service = host.removesuffix(DOMAIN)
        with translated(fail, tls=tls):
            return Target(self._view(service, tls), tls, fail)

    def close(self) -> None:
        """Forget the views."""
        self._view.cache_clear()

    def _discover(self, service: str, tls: bool) -> View:
        if not tls:
            return self._client.discover(service, **self._options)
        options = self._options.copy()
        options["where"] = _SpeaksTls(options.get("where"))
        return self._client.discover(service, **options)


class _SpeaksTls:
    """Accepts instances with a TLS port that the caller's own `where` accepts as well."""

    def __init__(self, where: Callable[[Instance], bool] | None) -> None:
        self._where = where
        self.refusal = "without a `tls_port`" + (", or not accepted by `where`" if where else "")

    def __call__(self, instance: Instance) -> bool:
        return instance.tls_port is not None and (self._where is None or self._where(instance))


class Target:
    """The service that one request goes to."""

    def __init__(self, view: View, tls: bool, fail: Callable[[str], Exception]) -> None:
        self._view = view
        self._tls = tls
        self._fail = fail

    def load(self, limit: float | None = None) -> None:
        """Wait until the service is known, `limit` seconds at most; None: `LOADING`."""
        if not self._view.snapshot.loaded:
            with translated(self._fail, tls=self._tls), contextlib.suppress(NoInstanceAvailable):  # the pick says why
                self._view.wait_ready(_bounded(limit), at_least=0)

    async def aload(self, limit: float | None = None) -> None:
        """As `load`, for a task."""
        if not self._view.snapshot.loaded:
            with translated(self._fail, tls=self._tls), contextlib.suppress(NoInstanceAvailable):
                await self._view.wait_ready(_bounded(limit), at_least=0)

    def attempts(self, key: str | None = None) -> Iterator[Attempt]:
        """Yield attempts that are entered, each on another instance, as long as the caller can't connect."""
        tried: list[str] = []
        while len(tried) < CONNECTS:
            attempt = self._view.attempt(key, tried)
            with translated(self._fail, tls=self._tls):
                try:
                    attempt.__enter__()
                except NoInstanceAvailable:
                    if tried:
                        return
                    raise
            tried.append(attempt.instance.id)
            yield attempt

    def port(self, instance: Instance) -> int:
        """The port to connect to."""
        return instance.tls_port if self._tls and instance.tls_port is not None else instance.port


class Answer:
    """A response that began. Its end is reported once: when it is read, closed, broken, or collected as garbage.

    Args:
        attempt: to report to.
        error: what the status says, as the error that the library raises for it; None: it is no error.
    """

    def __init__(self, attempt: Attempt, error: Exception | None) -> None:
        self._attempt = attempt
        self._error = error

    def ended(self, error: BaseException | None = None) -> None:
        """Report the end: an error that broke the body, or none. Closing a body early is no failure."""
        self._attempt.done(self._error if error is None else error)

    def watch(self, chunks: Iterable[T]) -> Iterator[T]:
        """Yield the parts of the body; report an error between them."""
        try:
            yield from chunks
        except GeneratorExit:
            raise
        except BaseException as error:
            self.ended(error)
            raise

    async def awatch(self, chunks: AsyncIterable[T]) -> AsyncIterator[T]:
        """As `watch`."""
        try:
            async for chunk in chunks:
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            self.ended(error)
            raise

    def __del__(self) -> None:
        self.ended()


def failed(attempt: Attempt, error: Exception) -> None:
    """Report that a request failed, and let the error say where."""
    instance = attempt.instance
    error.add_note(f"sent to instance {instance.id!r} of {instance.service!r}, {instance.netloc}")
    attempt.done(error)


@contextlib.contextmanager
def translated(fail: Callable[[str], Exception], *, tls: bool) -> Iterator[None]:
    """Raise the library's error for ours, which becomes its cause."""
    try:
        yield
    except ZkDiscoveryError as error:
        hint = "; https calls only instances that are registered with a `tls_port`" if tls else ""
        raise fail(f"{error}{hint}") from error


def _bounded(limit: float | None) -> float:
    return LOADING if limit is None else min(limit, LOADING)
