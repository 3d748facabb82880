"""What `--check` says."""

from __future__ import annotations

import pytest

from zkdiscovery import Check, CommandCheck, GrpcCheck, HttpCheck, TcpCheck
from zkdiscovery.cli.check_options import parse_checks


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("tcp", TcpCheck()),
        ("tcp:8081", TcpCheck(port=8081)),
        ("http:", HttpCheck("/")),
        ("http:/ready?full=1", HttpCheck("/ready?full=1")),
        ("http:8081/ready", HttpCheck("/ready", port=8081)),
        ("https:/ready", HttpCheck("/ready", tls=True)),
        ("grpc", GrpcCheck()),
        ("grpc:9090/payments.Payments", GrpcCheck("payments.Payments", port=9090)),
        ("command:./healthy --quick 'a b'", CommandCheck(["./healthy", "--quick", "a b"])),
    ],
)
def test_checks(text: str, check: Check) -> None:
    assert parse_checks([text], interval=None) == [check]


def test_the_options_are_those_of_all_checks() -> None:
    expected = [TcpCheck(interval=2.0, failure_threshold=5), HttpCheck("/a", interval=2.0, failure_threshold=5)]
    assert parse_checks(["tcp", "http:/a"], interval=2.0, timeout=None, failure_threshold=5) == expected


def test_without_any_the_port_is_asked() -> None:
    assert parse_checks(None) == [TcpCheck()]
