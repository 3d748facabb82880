"""The API of one engine, through the client library `docker`, with limits and our errors.

A client is made anew after each fault, because another engine, or another version of it, may stand behind the address
then. `call` and `events` run on any thread.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import docker
from docker.context import ContextAPI
from docker.errors import APIError, DockerException
from docker.types import CancellableStream
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable

TIMEOUT = 8  # seconds to connect, and between two pieces of an answer
SILENCE = 15  # seconds without an event after which a stream is opened anew, because it may be half-open

_FAULTS = (DockerException, RequestException, HTTPError, OSError, ValueError, LookupError, TypeError, AttributeError)
_DEFAULT = "unix:///var/run/docker.sock"
_FORBIDDEN = frozenset({401, 403})

T = TypeVar("T")


class Engine:
    """An engine, found as Docker's own client finds it: by DOCKER_HOST, or by the context.

    Attributes:
        where: the address of its API.
        remote: the host in it; None if the engine is on this machine.
    """

    def __init__(self) -> None:
        self._connecting = threading.Lock()  # held by whoever connects, so that there is one client
        self._lock = threading.Lock()
        self._environment = dict(os.environ)  # it stays the engine that it was
        self._api: Any = None
        self._closed = False
        self.where = _address()
        self.remote = _remote(self.where)

    def call(self, ask: Callable[[Any], T]) -> T:
        """Return what `ask` gets from the API.

        Raises:
            SourceUnavailable: the engine does not answer, or not with what it should.
            SourceRefused: we have no right to ask.
        """
        api: Any = None
        try:
            api = self._connected()
            return ask(api)
        except _FAULTS as error:
            # An answer that says "no" leaves the client as it is.
            if not isinstance(error, APIError):
                self._drop(api)
            raise self._translated(error) from error

    def info(self) -> Mapping[str, Any]:
        """Return what the engine says of itself.

        Raises:
            SourceUnavailable: as `call`.
            SourceRefused: as `call`.
        """
        return self.call(lambda api: {**api.info()})

    def events(self, filters: Mapping[str, Sequence[str]], since: str | None) -> CancellableStream:
        """Open a stream of events. It ends when the engine ends it, after `SILENCE`, and when it is closed.

        Raises:
            SourceUnavailable: as `call`.
            SourceRefused: as `call`.
        """
        return self.call(lambda api: _open(api, filters, since))

    def close(self) -> None:
        """End calls under way, and refuse others."""
        with self._lock:
            self._closed = True
            api, self._api = self._api, None
        if api is not None:
            api.close()

    def _connected(self) -> Any:
        with self._connecting:
            api = self._present()
            if api is None:
                api = docker.DockerClient.from_env(timeout=TIMEOUT, environment=self._environment).api
                with self._lock:
                    self._api = api
                    closed = self._closed
                if closed:
                    self._drop(api)
                    raise SourceUnavailable("the bridge is closed")
            return api

    def _present(self) -> Any:
        with self._lock:
            if self._closed:
                raise SourceUnavailable("the bridge is closed")
            return self._api

    def _drop(self, api: Any) -> None:
        with self._lock:
            if self._api is api:
                self._api = None
        if api is not None:
            api.close()

    def _translated(self, error: BaseException) -> SourceUnavailable | SourceRefused:
        causes = list(_causes(error))
        if any(isinstance(each, PermissionError) for each in causes):
            return SourceRefused(
                f"no right to the Docker engine's socket ({self.where}): run the bridge as root or in the group of the"
                " socket, which is `docker` on most machines"
            )
        if isinstance(error, APIError) and error.status_code in _FORBIDDEN:
            return SourceRefused(f"the Docker engine ({self.where}) refuses the bridge: {error.explanation or error}")
        return SourceUnavailable(f"the Docker engine ({self.where}) does not answer: {error}")


def _open(api: Any, filters: Mapping[str, Sequence[str]], since: str | None) -> CancellableStream:
    """As `api.events`, which has no limit for its reads."""
    response = api.get(
        f"{api.base_url}/v{api.api_version}/events",
        params={"filters": json.dumps(filters), "since": since},
        stream=True,
        timeout=(TIMEOUT, SILENCE),
    )
    response.raise_for_status()
    return CancellableStream(_lines(response), response)


def _lines(response: Any) -> Iterator[dict[str, Any]]:
    try:
        for line in response.iter_lines():
            if line:
                yield json.loads(line)
    finally:
        response.close()


def _address() -> str:
    """Return the engine's address, as Docker's own client finds it."""
    try:
        found = kwargs_from_env().get("base_url") or ContextAPI.kwargs_from_context().get("base_url")
    except (DockerException, OSError, ValueError):  # the first call tells what is wrong
        found = None
    return str(found or _DEFAULT)


def _remote(address: str) -> str | None:
    url = urlsplit(address)
    return url.hostname if url.scheme in {"http", "https", "tcp", "ssh"} else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that stand behind it, in arguments as well."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, *(arg for arg in each.args if isinstance(arg, BaseException))]
