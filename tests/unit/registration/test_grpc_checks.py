"""GrpcCheck, against a real gRPC server whose messages are generated from the standard's own definition."""

from __future__ import annotations

import functools
import importlib
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from grpc_tools import protoc

from tests.support import LIMIT
from zkdiscovery import CheckResult, GrpcCheck, InvalidInstance
from zkdiscovery.registration import grpc_check
from zkdiscovery.registration.checks import Outcome, Target

PASS, FAIL, UNKNOWN = CheckResult.PASS, CheckResult.FAIL, CheckResult.UNKNOWN

PROTO = """
syntax = "proto3";
package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
  ServingStatus status = 1;
}
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
"""
SERVICES = {"": 1, "pay": 2, "new": 0, "none": 3, "x" * 300: 1, "é": 1}


@functools.cache
def generated() -> tuple[ModuleType, ModuleType]:
    """The modules of messages and of stubs."""
    with tempfile.TemporaryDirectory(prefix="health") as folder:
        (Path(folder) / "standard_health.proto").write_text(PROTO)
        flags = ["protoc", f"-I{folder}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
        assert protoc.main([*flags, "standard_health.proto"]) == 0
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("standard_health_pb2"), importlib.import_module("standard_health_pb2_grpc")
        finally:
            sys.path.remove(folder)


class Servicer:
    """Knows the health of some services."""

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if request.service == "slow":
            time.sleep(0.7)
        if request.service not in SERVICES:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return generated()[0].HealthCheckResponse(status=SERVICES[request.service])


@contextmanager
def serving(*, health: bool = True) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    if health:
        generated()[1].add_HealthServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
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
    with serving(health=False) as port:
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
    generated()[1].add_HealthServicer_to_server(Servicer(), server)
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
