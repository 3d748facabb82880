"""doctor: good and bad servers, hosts and rights."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.cli.conftest import Done
from tests.support import LIMIT, Truth, core_of
from zkdiscovery import Client
from zkdiscovery.cli.doctor.hosts import examine_hosts
from zkdiscovery.cli.doctor.report import Level
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.session.requests import AccessEntry, Create
from zkdiscovery.settings import split_host
from zkdiscovery.testing import FaultProxy, ZookeeperServer, zookeeper_server
from zkdiscovery.znodes import parent_of
from zkdiscovery.znodes.parents import make_container

Run = Callable[..., Done]


def _by_check(done: Done) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in done.json["findings"]}


def test_all_is_well(run: Run, truth: Truth, zkdiscovery_server: ZookeeperServer, namespace: str) -> None:
    parents = truth.children(parent_of(namespace))
    done = run("doctor", "-o", "json")
    assert done.code == 0
    assert done.err == ""
    assert done.json["ok"] is True
    findings = _by_check(done)
    assert {finding["level"] for finding in findings.values()} == {"ok"}
    host = findings[f"host {zkdiscovery_server.hosts.split(',')[0]}"]["data"]
    assert host["version"].startswith("3.")
    assert host["connections"] >= 1
    assert host["latency"] > 0
    session = findings["session"]["data"]
    assert session["session_timeout"] == session["session_timeout_requested"] == 10.0
    for check in ("read", "write"):
        assert 0 < findings[check]["data"]["seconds"] < 5
    assert abs(findings["clock"]["data"]["ahead"]) < 5
    for room in ("services", "elections"):
        rights = findings[f"rights on {namespace}/{room}"]["data"]
        assert rights == {"path": f"{namespace}/{room}", "exists": False, "read": True, "create": True}
    assert findings["advertised address"]["data"]["reason"]
    settings = {setting["name"]: setting for setting in done.json["settings"]}
    assert settings["namespace"] == {"name": "namespace", "value": namespace, "source": "--namespace"}
    assert truth.children(parent_of(namespace)) == parents, "the doctor left something"
    assert truth.get(namespace) is None


def test_for_people(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKDISCOVERY_AUTH__USERNAME", "alice")
    monkeypatch.setenv("ZKDISCOVERY_AUTH__PASSWORD", "hunter2")
    done = run("doctor")
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert any(line.startswith("ok host ") for line in lines)
    assert any(line.startswith("ok session: at ") for line in lines)
    assert "SETTING VALUE FROM" in lines
    assert "auth.username alice ZKDISCOVERY_AUTH__PASSWORD, ZKDISCOVERY_AUTH__USERNAME" in lines
    assert "hunter2" not in done.out + done.err


def test_one_host_of_two_is_dead(run: Run, zkdiscovery_server: ZookeeperServer) -> None:
    done = run("doctor", "--hosts", f"127.0.0.1:1,{zkdiscovery_server.hosts}", "-o", "json")
    assert done.code == ExitCode.FAILED
    findings = _by_check(done)
    assert findings["host 127.0.0.1:1"]["level"] == "problem"
    assert "refused" in findings["host 127.0.0.1:1"]["found"]
    assert findings["session"]["level"] == "ok"


def test_no_host_is_there(run: Run) -> None:
    done = run("doctor", "--hosts", "127.0.0.1:1", "--timeout", "0.5", "-o", "json")
    assert done.code == ExitCode.NOT_CONNECTED
    assert done.json["ok"] is False
    assert _by_check(done).keys() == {"host 127.0.0.1:1", "session", "advertised address"}


def test_a_host_that_swallows_everything(
    run: Run, zkdiscovery_server: ZookeeperServer, zkdiscovery_proxy: FaultProxy
) -> None:
    zkdiscovery_proxy.blackhole()
    done = run("doctor", "--hosts", f"{zkdiscovery_proxy.address},{zkdiscovery_server.hosts}", "-o", "json")
    assert done.code == ExitCode.FAILED
    finding = _by_check(done)[f"host {zkdiscovery_proxy.address}"]
    assert "no answer within 1 s" in finding["found"]
    assert finding["data"]["tcp"] < 1
    assert _by_check(done)["session"]["level"] == "ok"


def test_a_server_with_too_many_connections_from_here(request: pytest.FixtureRequest) -> None:
    """It closes further ones at once, without a word."""
    source = request.config.getoption("--zkdiscovery-source")
    with zookeeper_server(source=source, config={"maxClientCnxns": "1"}) as server, Truth(server.hosts):
        findings = examine_hosts([split_host(server.hosts)], timeout=1.0, context=None)
    assert findings[0].level is Level.PROBLEM
    assert "hangs up" in findings[0].found
    assert "maxClientCnxns" in findings[0].advice


def test_two_servers_that_are_none_ensemble(
    run: Run, zkdiscovery_server: ZookeeperServer, zkdiscovery_proxy: FaultProxy
) -> None:
    done = run("doctor", "--hosts", f"{zkdiscovery_proxy.address},{zkdiscovery_server.hosts}", "-o", "json")
    if _by_check(done)[f"host {zkdiscovery_proxy.address}"]["data"]["mode"] == "standalone":
        assert done.code == ExitCode.FAILED
        assert "standalone, standalone" in _by_check(done)["ensemble"]["found"]


def test_tls_towards_a_plain_port(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKDISCOVERY_TLS__VERIFY_HOSTNAME", "true")
    done = run("doctor", "--timeout", "1", "-o", "json")
    assert done.code == ExitCode.NOT_CONNECTED
    host = done.json["findings"][0]
    assert host["level"] == "problem"
    assert host["advice"]


def test_a_server_that_bounds_the_session_timeout(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKDISCOVERY_SESSION_TIMEOUT", "3600")
    done = run("doctor", "-o", "json")
    assert done.code == 0
    session = _by_check(done)["session"]
    assert session["level"] == "warning"
    assert session["data"]["session_timeout"] < session["data"]["session_timeout_requested"] == 3600.0


def _make(truth: Truth, path: str, permissions: int) -> None:
    """A node on which everybody has these rights and no others."""
    parent = parent_of(path)
    make_container(truth.session, parent, generation=truth.session.generation, deadline=time.monotonic() + LIMIT)
    truth.call(Create(path, b"", [AccessEntry(permissions, "world", "anyone")]))


def test_no_right_to_create_in_the_namespace(run: Run, truth: Truth, namespace: str) -> None:
    _make(truth, namespace, 1)
    done = run("doctor", "-o", "json")
    assert done.code == ExitCode.REFUSED
    findings = _by_check(done)
    for room in ("services", "elections"):
        finding = findings[f"rights on {namespace}/{room}"]
        assert finding["level"] == "problem"
        assert finding["found"] == f"no right to create in {namespace}"
        assert "ZKDISCOVERY_AUTH__USERNAME" in finding["advice"]
    assert findings["write"]["level"] == "ok"
    assert "no right" in findings["clock"]["found"]


@pytest.mark.parametrize(
    ("permissions", "read", "said"),
    [(1, True, "no right to create in {}"), (2, False, "no right to read nor create in {}")],  # read or write alone
)
def test_rights_on_services_alone(
    run: Run, truth: Truth, namespace: str, permissions: int, read: bool, said: str
) -> None:
    _make(truth, namespace, 31)
    _make(truth, f"{namespace}/services", permissions)
    done = run("doctor", "-o", "json")
    assert done.code == ExitCode.REFUSED
    findings = _by_check(done)
    finding = findings[f"rights on {namespace}/services"]
    assert finding["found"] == said.format(f"{namespace}/services")
    assert finding["data"] == {"path": f"{namespace}/services", "exists": True, "read": read, "create": False}
    assert findings[f"rights on {namespace}/elections"]["level"] == "ok"
    truth.delete(f"{namespace}/services")


def test_a_session_timeout_of_less_than_two_ticks(
    run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases rest on two; the doctor says so where `conf` is permitted, and so does each term that begins."""
    config = {"minSessionTimeout": "500", "4lw.commands.whitelist": "srvr,conf"}
    with zookeeper_server(source="local", tick_time_ms=2000, config=config) as server:
        for timeout, level in (("1", "warning"), ("4", "ok")):
            monkeypatch.setenv("ZKDISCOVERY_SESSION_TIMEOUT", timeout)
            tick = _by_check(run("--hosts", server.hosts, "doctor", "-o", "json"))["tick"]
            assert (tick["level"], tick["data"]) == (level, {"tick": 2.0})
        with (
            Client(server.hosts, namespace=server.namespace, session_timeout=1.0) as client,
            client.election("one").campaign(LIMIT),
        ):
            prober = core_of(client).session._watchdog._prober
            done = threading.Event()
            prober.schedule(done, done.set)  # after what the beginning of the term has scheduled
            assert done.wait(LIMIT)
    assert "a session timeout of 1 s is less than two ticks of ZooKeeper (tickTime 2 s)" in caplog.text
