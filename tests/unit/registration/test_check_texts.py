"""Checks that are written as text."""

from __future__ import annotations

from typing import Any

import pytest

from zkdiscovery import CommandCheck, GrpcCheck, HttpCheck, InvalidInstance, TcpCheck
from zkdiscovery.registration.check_texts import check_of


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("http:/ready", HttpCheck("/ready")),
        ("http:9090/ready?a=b:c", HttpCheck("/ready?a=b:c", port=9090)),
        ("https:/", HttpCheck("/", tls=True)),
        ("https:8443/x", HttpCheck("/x", tls=True, port=8443)),
        ("tcp", TcpCheck()),
        ("tcp:", TcpCheck()),
        ("tcp:5432", TcpCheck(port=5432)),
        ("grpc", GrpcCheck()),
        ("grpc:pay.Pay", GrpcCheck("pay.Pay")),
        ("grpc:9090", GrpcCheck(port=9090)),
        ("grpc:9090/pay.Pay", GrpcCheck("pay.Pay", port=9090)),
        ("command:test -f 'a b'", CommandCheck(["test", "-f", "a b"])),
    ],
)
def test_a_text(text: str, check: Any) -> None:
    assert check_of(text) == check


def test_options() -> None:
    assert check_of("tcp:1", interval=2, name="x") == TcpCheck(port=1, interval=2, name="x")
    assert check_of("command:true", timeout=2) == CommandCheck(["true"], timeout=2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http",
        "http:",
        "http:ready",
        "tcp:http",
        "grpc:9090pay",
        "udp:1",
        "command:",
        "command:'",
        "ttl:15",
        "tcp:70000",
    ],
)
def test_what_is_no_check(text: str) -> None:
    with pytest.raises(InvalidInstance, match=r"must be"):
        check_of(text)
