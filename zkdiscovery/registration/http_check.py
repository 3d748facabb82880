"""Checks by HTTP and HTTPS.

Guarantees:
- One time limit is for all of a run: connecting, TLS, the request, each byte of the head and of the body. An answer
  that trickles is a failure when the time is over.
- At most 10 KiB of a body are read. The rest of a larger one is not asked for, and the status counts.
- No redirect is followed, no proxy and no password of the environment is used.

Each run has a connection of its own, as a caller that comes for the first time.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import FrozenDict
from zkdiscovery.registration.checks import (
    CheckResult,
    NetworkCheck,
    Outcome,
    Probe,
    Target,
    connect,
    remaining,
    unreached,
)
from zkdiscovery.registration.limited import LimitedChannel, LimitedReader
from zkdiscovery.registration.readiness import hang_up
from zkdiscovery.validation import join_host_port, shown

LARGEST_BODY = 10_240  # bytes; as the kubelet's

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PATH = re.compile(r"/[!-~]*")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_HOST = re.compile(r"[!-~]+")
_DEFAULTS = {"User-Agent": "zkdiscovery", "Accept": "*/*", "Connection": "close"}
_OK = range(200, 300)
_REDIRECT = range(300, 400)


@dataclass(frozen=True)
class HttpCheck(NetworkCheck):
    """Sends a request by HTTP/1.1. It passes with a status of 200 to 299.

    A redirect is a failure and is not followed: name the path that it leads to.

    Args:
        path: path and query of the request.
        method: of the request.
        headers: of the request. `Host`, if it is not given, is the advertised host and the port.
        tls: speak HTTPS.
        verify: with `tls`: True: the certificate must be valid for the host in `Host`, by the system's authorities; a
            path: by those in this file or folder; False: any certificate will do.

    Raises:
        InvalidInstance: a value is out of range.
    """

    path: str = "/"
    method: str = field(default="GET", kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True, repr=False)  # there may be credentials
    tls: bool = field(default=False, kw_only=True)
    verify: bool | str = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _fits(_PATH, self.path):
            raise InvalidInstance(
                "path of a check must begin with '/' and be ASCII without blanks, percent-encoded if need be:"
                f" got {shown(self.path)}"
            )
        if not _fits(_TOKEN, self.method):
            raise InvalidInstance(f"method of a check must be a method of HTTP: got {shown(self.method)}")
        object.__setattr__(self, "headers", _checked_headers(self.headers))
        if self.host_header is not None and not _fits(_HOST, self.host_header):
            raise InvalidInstance(f"the header Host of a check must be a host: got {shown(self.host_header)}")
        verify: object = self.verify
        if not isinstance(verify, (bool, str)):
            raise InvalidInstance(f"verify of a check must be True, False or a path: got {shown(verify)}")

    @property
    def host_header(self) -> str | None:
        """The header `Host`, if it was given."""
        return next((value for name, value in self.headers.items() if name.lower() == "host"), None)

    def _describe(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.method} {'https' if self.tls else 'http'}{port}{self.path}"

    def probe(self) -> Probe:
        return _HttpProbe(self)


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _checked_headers(headers: object) -> FrozenDict[str]:
    if not isinstance(headers, Mapping):
        raise InvalidInstance(f"headers of a check must be a mapping of strings: got {type(headers).__name__}")
    for name, value in headers.items():
        if not _fits(_TOKEN, name) or not _fits(_VALUE, value):
            raise InvalidInstance(f"headers of a check must be headers of HTTP: {shown(name)}, or its value, is none")
    return FrozenDict(headers)


class _HttpProbe:
    def __init__(self, check: HttpCheck) -> None:
        self._check = check
        self._context: ssl.SSLContext | None = None
        if check.tls and isinstance(check.verify, str):
            try:
                self._context = _context_of(check.verify)
            except OSError as error:  # ssl.SSLError is one, too
                raise InvalidInstance(f"verify of a check: {check.verify!r} can't be used: {error}") from None

    def run(self, target: Target) -> Outcome:
        check = self._check
        deadline = time.monotonic() + check.timeout
        try:
            connection = connect(check.places(target, tls=check.tls), deadline)
            try:
                address, port = connection.getpeername()[:2]
                host = check.host_header or join_host_port(target.name if check.host is None else address, port)
                if check.tls:
                    connection.settimeout(remaining(deadline))
                    connection = self._tls().wrap_socket(connection, server_hostname=_host_of(host))
                return self._ask(connection, host, deadline)
            finally:
                hang_up(connection)
        except ssl.SSLError as error:  # an OSError, too
            why = getattr(error, "verify_message", "") or error.reason or error
            return Outcome(CheckResult.FAIL, f"TLS failed: {why}")
        except OSError as error:
            return unreached(error, check.timeout)
        except http.client.HTTPException as error:
            return Outcome(CheckResult.FAIL, f"no answer of HTTP: {type(error).__name__} {error}".rstrip())

    def close(self) -> None:
        """A run ends by itself."""

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:  # here and not at the registration, because reading the authorities takes a while
            self._context = ssl.create_default_context()
            if not self._check.verify:
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE
        return self._context

    def _ask(self, connection: socket.socket, host: str, deadline: float) -> Outcome:
        check = self._check
        request = http.client.HTTPConnection(host)
        reader = LimitedReader(connection, deadline)
        request.sock = LimitedChannel(connection, deadline, reader)
        request.putrequest(check.method, check.path, skip_host=True, skip_accept_encoding=True)
        given = {name.lower() for name in check.headers}
        for name, value in {"Host": host, **_DEFAULTS}.items():
            if name.lower() not in given:
                request.putheader(name, value)
        for name, value in check.headers.items():
            request.putheader(name, value)
        request.endheaders()
        with request.getresponse() as response:
            reader.left, reader.in_head = LARGEST_BODY * 10, False  # with what chunks add
            response.read(LARGEST_BODY)
            return _judge(response)


def _judge(response: http.client.HTTPResponse) -> Outcome:
    said = f"{response.status} {response.reason[:80]}".rstrip()
    if response.status in _OK:
        return Outcome(CheckResult.PASS, said)
    if response.status in _REDIRECT:
        where = (response.headers.get("Location") or "somewhere else")[:200]
        return Outcome(CheckResult.FAIL, f"{said}: it redirects to {where}, which is not followed; check that path")
    return Outcome(CheckResult.FAIL, said)


def _context_of(authorities: str) -> ssl.SSLContext:
    """Return a context that trusts the authorities in a file or folder."""
    if Path(authorities).is_dir():
        return ssl.create_default_context(capath=authorities)
    return ssl.create_default_context(cafile=authorities)


def _host_of(netloc: str) -> str:
    """Return the host of `host:port`, without brackets."""
    if netloc.startswith("["):
        return netloc[1 : netloc.find("]")]
    return netloc.partition(":")[0]
