"""Requests by HTTP to another registry, each within a limit.

Guarantees
- One time limit is for all of a call: connecting, TLS, the request, each byte of the head and of the body.
- `close` ends calls under way, and refuses later ones.
- No redirect is followed and no proxy of the environment is used.
- Headers, which may hold credentials, appear in no error and no `repr`.

Threads: all methods may be called on any thread. Connections are kept, and each is used by one call at a time.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from zkdiscovery.bridges.source import SourceUnavailable
from zkdiscovery.errors import InvalidSettings
from zkdiscovery.registration.checks import connect, remaining
from zkdiscovery.registration.limited import LimitedChannel, LimitedReader
from zkdiscovery.registration.readiness import hang_up
from zkdiscovery.validation import join_host_port

CONNECT_LIMIT = 4.0  # seconds to connect
ANSWER_LIMIT = 10.0  # seconds for a call that waits for nothing
LARGEST_ANSWER = 1 << 28  # bytes
_MOST_IDLE = 4  # connections that are kept
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        status: of HTTP.
        headers: of the answer; names in any case.
        data: the body.
        where: who answered.
    """

    status: int
    headers: http.client.HTTPMessage
    data: bytes
    where: str

    def json(self) -> Any:
        """Return the value of the body.

        Raises:
            SourceUnavailable: it is no JSON.
        """
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise SourceUnavailable(f"{self.where} answers with what is no JSON: {error}") from error

    @property
    def text(self) -> str:
        """The beginning of the body, for an error."""
        return self.data[:200].decode(errors="replace").strip()


class HttpApi:
    """One server.

    Args:
        url: `http://host:port`, or `https`; a path is put before each path.
        headers: of each request.
        context: of TLS; None: the system's authorities.
        server_name: the name in the server's certificate; None: the host.

    Attributes:
        where: the URL.

    Raises:
        InvalidSettings: it is no such URL.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        self._host, self._port, self._tls, self._prefix = _parts_of(url)
        self.where = url
        self._headers = {"Accept": "application/json", "User-Agent": "zkdiscovery", **(headers or {})}
        self._context = context or (ssl.create_default_context() if self._tls else None)
        self._server_name = server_name or self._host
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []
        self._busy: set[socket.socket] = set()
        self._closed = False

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        limit: float = ANSWER_LIMIT,
    ) -> Answer:
        """Return the answer to one request, whatever its status. It must be harmless to send the request twice.

        Args:
            method: of HTTP.
            path: below that of the URL, quoted.
            query: further parameters.
            body: is sent as JSON; None: nothing is sent.
            limit: seconds for all of it.

        Raises:
            SourceUnavailable: no answer came in time, or what came is no answer of HTTP.
        """
        deadline = time.monotonic() + limit
        target = f"{self._prefix}{path}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        try:
            kept = self._kept()
            if kept is not None:
                try:
                    return self._ask(kept, method, target, data, deadline)
                except (ConnectionError, http.client.BadStatusLine):  # the server has closed it meanwhile
                    pass
            return self._ask(self._connected(deadline), method, target, data, deadline)
        except TimeoutError as error:
            raise SourceUnavailable(f"{self.where} gives no answer within {limit:g} s") from error
        except ssl.SSLError as error:  # an OSError, too
            why = getattr(error, "verify_message", "") or error.reason or error
            raise SourceUnavailable(f"TLS with {self.where} failed: {why}") from error
        except OSError as error:
            raise SourceUnavailable(f"{self.where} can't be reached: {error.strerror or error}") from error
        except (http.client.HTTPException, ValueError) as error:
            text = f"{type(error).__name__} {error}".rstrip()
            raise SourceUnavailable(f"{self.where} gives no answer of HTTP: {text}") from error

    def close(self) -> None:
        """End calls under way. Waits for nothing."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for connection in idle:
            hang_up(connection)
        for connection in busy:  # the call that uses it closes it
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _kept(self) -> socket.socket | None:
        with self._lock:
            if self._closed:
                raise SourceUnavailable(f"the connection to {self.where} was closed")
            if not self._idle:
                return None
            connection = self._idle.pop()
            self._busy.add(connection)
            return connection

    def _connected(self, deadline: float) -> socket.socket:
        until = min(deadline, time.monotonic() + CONNECT_LIMIT)
        connection = connect([(self._host, self._port)], until)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                connection.settimeout(remaining(until))
                connection = self._context.wrap_socket(connection, server_hostname=self._server_name)
            with self._lock:
                if self._closed:
                    raise SourceUnavailable(f"the connection to {self.where} was closed")
                self._busy.add(connection)
        except BaseException:
            hang_up(connection)
            raise
        return connection

    def _ask(self, connection: socket.socket, method: str, target: str, data: bytes | None, deadline: float) -> Answer:
        """Return the answer. The connection is kept if it can be used again."""
        keep = False
        try:
            request = http.client.HTTPConnection(join_host_port(self._host, self._port))
            reader = LimitedReader(connection, deadline)
            request.sock = LimitedChannel(connection, deadline, reader)
            headers = {**self._headers, "Content-Type": "application/json"} if data is not None else self._headers
            request.request(method, target, body=data, headers=headers)
            with request.getresponse() as response:
                reader.left, reader.in_head = LARGEST_ANSWER, False
                answer = Answer(response.status, response.headers, response.read(), self.where)
                keep = not response.will_close
            return answer
        finally:
            with self._lock:
                self._busy.discard(connection)
                keep = keep and not self._closed and len(self._idle) < _MOST_IDLE
                if keep:
                    self._idle.append(connection)
            if not keep:
                hang_up(connection)


def _parts_of(url: str) -> tuple[str, int, bool, str]:
    """Return host, port, whether it is TLS, and the path."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidSettings(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise InvalidSettings(f"expected a URL such as http://registry.example:8500: got {url!r}")
    if parts.username is not None or parts.password is not None:
        raise InvalidSettings("a URL with a password is shown to others; give the password by the environment")
    return parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "https", parts.path.rstrip("/")
