"""GrpcCheck, against a real gRPC server with the official health service."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc

from tests.support import LIMIT
from zkdiscovery import CheckResult, GrpcCheck, InvalidInstance
from zkdiscovery.registration import grpc_check
from zkdiscovery.registration.checks import Outcome, Target

PASS, FAIL, UNKNOWN = CheckResult.PASS, CheckResult.FAIL, CheckResult.UNKNOWN

SERVICES = {"": 1, "pay": 2, "new": 0, "none": 3, "x" * 300: 1, "é": 1}


class Servicer(health.HealthServicer):
    """The official one, which knows the health of some services."""

    def __init__(self) -> None:
        super().__init__()
        for service, status in SERVICES.items():
            self.set(service, status)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if request.service == "slow":
            time.sleep(0.7)
        return super().Check(request, context)


@contextmanager
def serving(*, healthy: bool = True, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    if healthy:
        health_pb2_grpc.add_HealthServicer_to_server(Servicer(), server)
    at = "127.0.0.1:0"
    port = server.add_insecure_port(at) if credentials is None else server.add_secure_port(at, credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait(LIMIT)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as port:
        yield port


def run(check: GrpcCheck, port: int, *hosts: str) -> Outcome:
    return check.probe().run(Target("web.example", hosts or ("127.0.0.1",), port))


@pytest.mark.parametrize(
    ("service", "outcome"),
    [
        ("", (PASS, "SERVING")),
        ("pay", (FAIL, "NOT_SERVING")),
        ("new", (FAIL, "UNKNOWN")),
        ("none", (FAIL, "SERVICE_UNKNOWN")),
        ("x" * 300, (PASS, "SERVING")),
        ("é", (PASS, "SERVING")),
        ("other", (FAIL, "the server knows no health of 'other'")),
    ],
)
def test_what_a_server_says(service: str, outcome: tuple[CheckResult, str], port: int) -> None:
    assert run(GrpcCheck(service, timeout=LIMIT), port) == outcome


def test_a_server_without_health_fails() -> None:
    with serving(healthy=False) as port:
        assert run(GrpcCheck(timeout=LIMIT), port) == (FAIL, "the server does not offer grpc.health.v1.Health")


def test_one_that_answers_late_fails(port: int) -> None:
    assert run(GrpcCheck("slow", timeout=0.3), port) == (FAIL, "no answer within 0.3 s")


def test_one_that_accepts_and_hangs_fails_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        assert run(GrpcCheck(timeout=0.5), server.getsockname()[1]) == (FAIL, "no answer within 0.5 s")
        assert time.monotonic() - began < 5


def test_a_closed_port_fails_and_is_seen_open_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    probe = GrpcCheck(timeout=LIMIT).probe()
    target = Target("web.example", ["127.0.0.1"], port)
    for _ in range(5):
        result, said = probe.run(target)
        assert result is FAIL
        assert said.startswith("UNAVAILABLE: ")
    server = grpc.server(futures.ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(Servicer(), server)
    if server.add_insecure_port(f"127.0.0.1:{port}") != port:
        pytest.skip("the port was taken meanwhile")
    server.start()
    assert probe.run(target) == (PASS, "SERVING")
    server.stop(None).wait(LIMIT)


def test_one_address_that_answers_is_enough(port: int) -> None:
    assert run(GrpcCheck(timeout=LIMIT), port, "127.0.0.9", "127.0.0.1") == (PASS, "SERVING")


def test_trouble_of_our_own_says_nothing() -> None:
    class Error(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNAVAILABLE

        def details(self) -> str:
            return "failed to connect to all addresses; last error: UNKNOWN: socket: Too many open files"

    result, said = GrpcCheck().probe()._failed(Error())[0]  # type: ignore[attr-defined]
    assert result is UNKNOWN
    assert "Too many open files" in said


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_check, "grpc", None)
    with pytest.raises(InvalidInstance, match=r"pip install 'zkdiscovery\[grpc\]'"):
        GrpcCheck()


def test_authorities_that_can_not_be_read_are_refused() -> None:
    with pytest.raises(InvalidInstance, match="authorities of a check: '/no/such/file' can't be read"):
        GrpcCheck(tls=True, authorities="/no/such/file").probe()


# -- TLS --


@pytest.fixture(scope="module")
def secure(certificate: tuple[str, str]) -> Iterator[int]:
    chain, key = (Path(file).read_bytes() for file in certificate)
    with serving(credentials=grpc.ssl_server_credentials([(key, chain)])) as port:
        yield port


def test_a_certificate_is_verified(secure: int, certificate: tuple[str, str]) -> None:
    assert run(GrpcCheck(tls=True, authorities=certificate[0], timeout=LIMIT), secure) == (PASS, "SERVING")
    result, said = run(GrpcCheck(tls=True, timeout=LIMIT), secure)
    assert result is FAIL
    assert "CERTIFICATE_VERIFY_FAILED" in said


def test_the_certificate_must_be_for_the_host(secure: int, certificate: tuple[str, str]) -> None:
    options: dict[str, Any] = {"tls": True, "authorities": certificate[0], "timeout": LIMIT}
    result, said = run(GrpcCheck(server_name="other.example", **options), secure)
    assert result is FAIL
    assert "Hostname Verification Check failed" in said
    assert run(GrpcCheck("pay", server_name="web.example", **options), secure) == (FAIL, "NOT_SERVING")


def test_tls_and_a_port_without(port: int, secure: int, certificate: tuple[str, str]) -> None:
    for check, at in ((GrpcCheck(tls=True, authorities=certificate[0], timeout=LIMIT), port), (GrpcCheck(), secure)):
        result, said = run(check, at)
        assert result is FAIL
        assert said.startswith("UNAVAILABLE: ")
