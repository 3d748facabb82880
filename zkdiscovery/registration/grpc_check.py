"""Checks by gRPC's standard health protocol, `grpc.health.v1.Health/Check`.

Needs the extra `grpc`. The two messages of the protocol have one field each, so they are written here, and no generated
code has to agree with the version of protobuf that a program uses.

Each run has a channel of its own, as the kubelet's has: a channel that is kept waits longer and longer before it
connects again.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration.checks import CheckResult, NetworkCheck, Outcome, Probe, Target, remaining
from zkdiscovery.validation import check_text, join_host_port, shown

try:
    import grpc
except ImportError:
    grpc = None  # type: ignore[assignment]  # the name is offered all the same; using it says what to install

_METHOD = "/grpc.health.v1.Health/Check"
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_SERVING = 1
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # or a run would share the back-off of the one before
    ("grpc.enable_retries", 0),
)
_TROUBLES = tuple(os.strerror(number) for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))


@dataclass(frozen=True)
class GrpcCheck(NetworkCheck):
    """Asks a gRPC server for its health. It passes with SERVING.

    Args:
        service: the service to ask for, as the server's health names it; "": all of the server.
        tls: connect with TLS. The certificate must be valid for the advertised host.
        authorities: path of a PEM file with the authorities to trust; None: gRPC's own.
        server_name: the name in the certificate, if it is not the advertised host.

    Raises:
        InvalidInstance: a value is out of range, or the extra `grpc` is missing.
    """

    service: str = ""
    tls: bool = field(default=False, kw_only=True)
    authorities: str | None = field(default=None, kw_only=True)
    server_name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if grpc is None:
            raise InvalidInstance("GrpcCheck needs the extra: pip install 'zkdiscovery[grpc]'")
        if not isinstance(self.service, str):
            raise InvalidInstance(f"service of a check must be a string: got {shown(self.service)}")
        if self.server_name is not None:
            check_text(self.server_name, "server_name of a check")

    def _describe(self) -> str:
        port = "" if self.port is None else f" port {self.port}"
        return f"gRPC{port} {self.service}".rstrip()

    def probe(self) -> Probe:
        return _GrpcProbe(self)


class _GrpcProbe:
    def __init__(self, check: GrpcCheck) -> None:
        self._check = check
        self._request = _encode(check.service)
        self._credentials: grpc.ChannelCredentials | None = None
        if check.tls:
            try:
                authorities = None if check.authorities is None else Path(check.authorities).read_bytes()
            except OSError as error:
                raise InvalidInstance(f"authorities of a check: {check.authorities!r} can't be read: {error}") from None
            self._credentials = grpc.ssl_channel_credentials(authorities)

    def run(self, target: Target) -> Outcome:
        check = self._check
        deadline = time.monotonic() + check.timeout
        outcome = Outcome(CheckResult.FAIL, "this machine has no address to connect to")
        for host, port in check.places(target, tls=check.tls):
            outcome, reached = self._ask(host, port, target.name, deadline)
            if reached:
                break
        return outcome

    def close(self) -> None:
        """A run ends by itself."""

    def _ask(self, host: str, port: int, name: str, deadline: float) -> tuple[Outcome, bool]:
        """Ask at one address; the outcome, and whether the server has said something."""
        check = self._check
        address = f"{'ipv6' if ':' in host else 'ipv4'}:{join_host_port(host, port)}"
        options = (*_OPTIONS, ("grpc.default_authority", check.server_name or name))
        try:
            limit = remaining(deadline)
        except TimeoutError:
            return Outcome(CheckResult.FAIL, f"no answer within {check.timeout:g} s"), True
        if self._credentials is None:
            channel = grpc.insecure_channel(address, options)
        else:
            channel = grpc.secure_channel(address, self._credentials, options)
        with channel:
            ask = channel.unary_unary(_METHOD, request_serializer=_same, response_deserializer=_decode)
            try:
                status = ask(self._request, timeout=limit)
            except grpc.RpcError as error:
                return self._failed(error)
        if status == _SERVING:
            return Outcome(CheckResult.PASS, "SERVING"), True
        said = _STATUSES[status] if 0 <= status < len(_STATUSES) else f"status {status}"
        return Outcome(CheckResult.FAIL, said), True

    def _failed(self, error: grpc.RpcError) -> tuple[Outcome, bool]:
        code, details = error.code(), (error.details() or "").rpartition("last error: ")[2][:200]
        if any(trouble in details for trouble in _TROUBLES):
            return Outcome(CheckResult.UNKNOWN, f"the check could not run: {details}"), True
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Outcome(CheckResult.FAIL, f"no answer within {self._check.timeout:g} s"), True
        hints = {
            grpc.StatusCode.UNIMPLEMENTED: "the server does not offer grpc.health.v1.Health",
            grpc.StatusCode.NOT_FOUND: f"the server knows no health of {self._check.service!r}",
        }
        said = hints.get(code, f"{code.name}: {details}")
        return Outcome(CheckResult.FAIL, said), code is not grpc.StatusCode.UNAVAILABLE


def _same(request: bytes) -> bytes:
    return request


def _encode(service: str) -> bytes:
    """Return a HealthCheckRequest: field 1 is the service, a string."""
    text = service.encode()
    return b"\x0a" + _varint(len(text)) + text if text else b""


def _varint(number: int) -> bytes:
    coded = bytearray()
    while number > 0x7F:
        coded.append(number & 0x7F | 0x80)
        number >>= 7
    coded.append(number)
    return bytes(coded)


def _decode(response: bytes) -> int:
    """Return the status in a HealthCheckResponse: field 1 is an enum, which is left out if it is 0."""
    return response[1] if len(response) >= 2 and response[0] == 0x08 else 0
