"""Requests to the API server, each within a limit.

The official client reads the configuration and keeps the credentials fresh, and its pool of connections is used. Its
`Watch` is not: it forgets the bookmarks, and nothing ends a read that waits.

Threads: all methods may be called on any thread.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config
from urllib3.response import BaseHTTPResponse

from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.errors import InvalidSettings

CONNECT_LIMIT = 4.0  # seconds to connect
ANSWER_LIMIT = 10.0  # seconds between two pieces of an answer
_LONGEST_EVENT = 1 << 24  # bytes; an object has at most some 3 MiB
_CHUNK = 1 << 16  # bytes
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_METHODS = {"list": "GET", "watch": "GET", "get": "GET", "create": "POST", "update": "PUT", "delete": "DELETE"}


class ApiError(SourceUnavailable):
    """The API server refuses one request.

    Attributes:
        code: the status of HTTP.
        causes: reason by field, if it names them.
    """

    def __init__(self, message: str, code: int, causes: Mapping[str, str]) -> None:
        super().__init__(message)
        self.code = code
        self.causes = causes


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects.

    Attributes:
        group: its API group; empty: the core's.
        plural: its name in paths.
        verbs: the rights that a bridge needs.
    """

    group: str
    plural: str
    verbs: tuple[str, ...]

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the path of all of them, in a namespace or in all, or of one."""
        root = f"/apis/{self.group}/v1" if self.group else "/api/v1"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "")

    @property
    def rule(self) -> str:
        """The rule to grant."""
        return f'{{apiGroups: ["{self.group}"], resources: [{self.plural}], verbs: [{", ".join(self.verbs)}]}}'


class Api:
    """One API server.

    Args:
        context: of kubeconfig; None: the current one, or that of the pod that this process runs in.

    Attributes:
        where: its address.
        namespace: of the context or of the pod.

    Raises:
        InvalidSettings: there is no configuration, or it can't be used.
    """

    def __init__(self, context: str | None = None) -> None:
        self._config = client.Configuration()
        try:
            if context is None and not _has_kubeconfig():
                config.load_incluster_config(client_configuration=self._config)
                self.namespace = _OWN_NAMESPACE.read_text().strip()
            else:
                config.load_kube_config(context=context, client_configuration=self._config)
                self.namespace = _namespace_of(context)
        except (config.ConfigException, OSError) as error:
            raise InvalidSettings(
                f"no configuration of Kubernetes can be used: {error}. Set KUBECONFIG, or run in a pod"
            ) from error
        self.where = str(self._config.host)
        self._pool = client.ApiClient(self._config).rest_client.pool_manager

    def call(
        self,
        verb: str,
        kind: Kind,
        namespace: str | None,
        name: str | None = None,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
    ) -> Any:
        """Return the answer to one request.

        Raises:
            ApiError: the server refuses it.
            SourceUnavailable: no answer came in time.
            SourceRefused: a right is missing.
        """
        response = self._open(verb, kind, namespace, name, query or {}, body, ANSWER_LIMIT)
        with self._translated(), response:
            return json.loads(response.data)

    @contextmanager
    def events(
        self,
        kind: Kind,
        namespace: str | None,
        query: Mapping[str, object],
        silence: float,
        opened: Callable[[BaseHTTPResponse], object],
    ) -> Iterator[Iterator[Any]]:
        """Open a watch for the time of the block, and return its events.

        Args:
            kind, namespace: what to watch.
            query: further parameters.
            silence: seconds without a byte after which the connection counts as broken.
            opened: called with the response, whose `shutdown` ends a read that waits.

        Raises:
            ApiError: the server refuses it.
            SourceUnavailable: the server can't be reached, or the stream broke.
            SourceRefused: a right is missing.
        """
        response = self._open("watch", kind, namespace, None, {**query, "watch": "true"}, None, silence)
        try:
            opened(response)
            with self._translated():
                yield self._lines(response)
        finally:
            response.close()

    def _lines(self, response: BaseHTTPResponse) -> Iterator[Any]:
        rest = b""
        for chunk in response.stream(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines if line)
            if len(rest) > _LONGEST_EVENT:
                raise SourceUnavailable(f"an event of {self.where} is longer than {_LONGEST_EVENT} bytes")

    def _open(
        self,
        verb: str,
        kind: Kind,
        namespace: str | None,
        name: str | None,
        query: Mapping[str, object],
        body: object,
        silence: float,
    ) -> BaseHTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "zkdiscovery"}
        with self._translated():
            for auth in self._config.auth_settings().values():
                if auth["value"]:
                    headers[auth["key"]] = auth["value"]
            response: BaseHTTPResponse = self._pool.request(
                _METHODS[verb],
                f"{self.where}{kind.path(namespace, name)}?{urlencode(query)}",
                json=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_LIMIT, read=silence),
                preload_content=False,
                retries=False,
                redirect=False,
            )
        if response.status >= 300:
            self._refuse(response, verb, kind, namespace, name)
        return response

    def _refuse(
        self, response: BaseHTTPResponse, verb: str, kind: Kind, namespace: str | None, name: str | None
    ) -> None:
        """Raise the error that an answer stands for."""
        with self._translated(), response:
            text = response.data
        message, causes = _reasons(text)
        what = f"{verb} {kind.plural}{f' {name}' if name else ''} in {namespace or 'all namespaces'}"
        if response.status == 401:
            raise SourceRefused(f"{self.where} does not accept the credentials; renew them: {message}")
        if response.status == 403:
            scope = "a Role there, or a ClusterRole" if namespace else "a ClusterRole"
            raise SourceRefused(f"{self.where} forbids to {what}. Grant {kind.rule} in {scope}: {message}")
        raise ApiError(f"{self.where} can't {what}: {response.status} {message}", response.status, causes)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            raise SourceUnavailable(f"{self.where} can't be reached: {error}") from error
        except ValueError as error:
            raise SourceUnavailable(f"{self.where} answers with what is no JSON: {error}") from error
        except (config.ConfigException, OSError) as error:  # a file of credentials that is being replaced
            raise SourceUnavailable(f"the credentials for {self.where} can't be read: {error}") from error


def _reasons(text: bytes) -> tuple[str, dict[str, str]]:
    """Return the message of a refusal, and its reasons by field. A proxy may have written it, so it may be anything."""
    try:
        status = json.loads(text)
        causes = (status.get("details") or {}).get("causes") or ()
        return str(status["message"]), {str(cause.get("field")): str(cause.get("message")) for cause in causes}
    except (AttributeError, LookupError, TypeError, ValueError):
        return text[:200].decode(errors="replace"), {}


def _has_kubeconfig() -> bool:
    return any(
        Path(path).expanduser().exists() for path in config.KUBE_CONFIG_DEFAULT_LOCATION.split(os.pathsep) if path
    )


def _namespace_of(context: str | None) -> str:
    """Return the namespace of a context of kubeconfig."""
    contexts, current = config.list_kube_config_contexts()
    chosen = current if context is None else next(one for one in contexts if one["name"] == context)
    return str(chosen["context"].get("namespace") or "default")
