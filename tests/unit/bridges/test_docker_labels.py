"""The labels by which containers and Swarm services ask to be registered."""

from __future__ import annotations

import re

import pytest

from zkdiscovery import GrpcCheck, HttpCheck, TcpCheck
from zkdiscovery.bridges.docker.labels import Wanted, parse
from zkdiscovery.errors import InvalidInstance, InvalidName


def test_nothing_is_asked_for_without_a_name() -> None:
    assert parse({}) is None
    assert parse({"zkdiscovery.port": "8080", "com.example.name": "web"}) is None


def test_all_labels() -> None:
    wanted = parse(
        {
            "zkdiscovery.name": "web",
            "zkdiscovery.port": "8080",
            "zkdiscovery.network": "backend",
            "zkdiscovery.tags": " blue, canary,, ",
            "zkdiscovery.weight": "2.5",
            "zkdiscovery.meta.team": "payments",
            "zkdiscovery.meta.on.call": " a b ",
            "com.example.other": "x",
        }
    )
    metadata = {"team": "payments", "on.call": " a b "}
    assert wanted == Wanted("web", 8080, "backend", ("blue", "canary"), 2.5, metadata)


def test_a_port_with_its_protocol() -> None:
    wanted = parse({"zkdiscovery.name": "web", "zkdiscovery.port": "8080/tcp"})
    assert wanted is not None
    assert wanted.port == 8080


def test_labels_that_mean_nothing_are_named() -> None:
    wanted = parse({"zkdiscovery.name": "web", "zkdiscovery.wieght": "2", "zkdiscovery.Port": "1"})
    assert wanted is not None
    assert wanted.unknown == ("zkdiscovery.Port", "zkdiscovery.wieght")


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1", "8080/udp", "8080.0", "٨"])
def test_a_bad_port_is_named(port: str) -> None:
    with pytest.raises(InvalidInstance, match=r"zkdiscovery\.port must be an integer"):
        parse({"zkdiscovery.name": "web", "zkdiscovery.port": port})


@pytest.mark.parametrize("weight", ["", "heavy", "-1", "nan", "inf", "1,5"])
def test_a_bad_weight_is_named(weight: str) -> None:
    with pytest.raises(InvalidInstance, match=r"zkdiscovery\.weight must be a finite number"):
        parse({"zkdiscovery.name": "web", "zkdiscovery.weight": weight})


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", "x" * 300])
def test_a_bad_name_is_named(name: str) -> None:
    with pytest.raises(InvalidName, match=r"zkdiscovery\.name"):
        parse({"zkdiscovery.name": name})


@pytest.mark.parametrize("key", ["zkdiscovery.meta.", "zkdiscovery.meta.zkdiscovery.status"])
def test_bad_metadata_is_refused(key: str) -> None:
    with pytest.raises(InvalidInstance):
        parse({"zkdiscovery.name": "web", key: "x"})


def test_a_check() -> None:
    def asked(text: str) -> object:
        wanted = parse({"zkdiscovery.name": "web", "zkdiscovery.check": text})
        assert wanted is not None
        assert not wanted.unknown
        return wanted.check

    assert asked("http:/ready") == HttpCheck("/ready")
    assert asked(" tcp:9090 ") == TcpCheck(port=9090)
    assert asked("grpc") == GrpcCheck()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a check must be http:/ready"),
        ("http", "a check must be http:/ready"),
        ("htp:/ready", "a check must be http:/ready"),
        ("tcp:99999", "port of a check must be"),
        ("command:rm -r /", "a command would run on the bridge's machine, not in the container"),
    ],
)
def test_a_bad_check_is_named(text: str, reason: str) -> None:
    with pytest.raises(InvalidInstance, match=f"^zkdiscovery\\.check: .*{re.escape(reason)}"):
        parse({"zkdiscovery.name": "web", "zkdiscovery.check": text})
