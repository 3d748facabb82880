"""register, watch, dev: commands that run until they are ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.cli.conftest import Done, Running
from tests.support import LIMIT, Truth, wait_view
from zkdiscovery import Status
from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.cli.start import usual_port
from zkdiscovery.testing import FaultProxy, ZookeeperServer
from zkdiscovery.testing.ports import free_port

Start = Callable[..., Running]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_register_until_a_signal(
    start: Start, make_client: MakeClient, truth: Truth, namespace: str, number: signal.Signals
) -> None:
    running = start(
        "register", "payments", "--port", "8080", "--id", "a", "--weight", "3", "--zone", "eu", "--version", "2",
        "--tag", "x", "--tag", "y", "--meta", "k=v=w",
    )  # fmt: skip
    running.line("REGISTERED", "payments a at", "UP", "weight 3")
    (instance,) = make_client().instances("payments", LIMIT)
    assert (instance.id, instance.weight, instance.zone, instance.version) == ("a", 3.0, "eu", "2")
    assert (instance.tags, instance.metadata) == (("x", "y"), {"k": "v=w"})
    assert running.end(number) == 128 + number
    assert truth.children(f"{namespace}/services/payments") == []
    assert "CLOSED" in running.out.items[-1]
    assert running.err.items == ["deregistering"]


def test_register_drains_and_waits(start: Start, make_client: MakeClient) -> None:
    view = make_client().discover("payments")
    running = start("register", "payments", "--port", "8080", "--drain-delay", "0.5")
    running.line("REGISTERED")
    view.wait_ready(LIMIT)
    running.process.send_signal(signal.SIGTERM)
    wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.DRAINING])
    assert running.end() == 143
    wait_view(view, lambda snapshot: len(snapshot) == 0)


def test_register_tells_each_change(start: Start, make_client: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    running = start("register", "payments", "--port", str(port), "--id", "a", "--ready", "listening", "-o", "json")
    running.line('"REGISTERED"', '"STARTING"')
    with socket.create_server(("127.0.0.1", port)):
        entry = json.loads(running.line('"REGISTERED"', '"UP"'))
    assert entry.keys() == {"time", "state", "error", "instance"}
    assert (entry["error"], entry["instance"]["port"]) == (None, port)
    make_client().override("payments", "a", status=Status.OUT_OF_SERVICE, timeout=LIMIT)
    entry = json.loads(running.line('"REGISTERED"', '"OUT_OF_SERVICE"'))
    assert entry["instance"]["override"]["base_status"] == "UP"
    running.message("warning: an operator has set 'a' of 'payments' to OUT_OF_SERVICE instead of UP")


def test_register_gives_way_to_another_owner(start: Start, make_client: MakeClient) -> None:
    running = start("register", "payments", "--port", "8080", "--id", "a")
    running.line("REGISTERED")
    make_client().register("payments", 9090, id="a").wait_registered(LIMIT)
    assert running.end() == ExitCode.CONFLICT
    assert "CONFLICT" in running.out.items[-1]
    assert "--on-conflict" in running.err.items[-1]
    assert [line for line in running.err.items if line.startswith("error: ")] == [running.err.items[-1]]
    assert [i.port for i in make_client().instances("payments", LIMIT)] == [9090]


def test_register_does_what_is_wanted_on_a_conflict(start: Start, make_client: MakeClient) -> None:
    owner = make_client().register("payments", 9090, id="a").wait_registered(LIMIT)
    arguments = ("register", "payments", "--port", "8080", "--id", "a", "--on-conflict")
    assert start(*arguments, "refuse").end() == ExitCode.CONFLICT
    waiting = start(*arguments, "wait")
    waiting.line("WAITING")
    owner.close()
    waiting.line("REGISTERED")


def test_register_ends_where_this_machine_has_no_such_address(start: Start) -> None:
    running = start("register", "payments", "--port", "8080", "--host", "if:nope")
    running.message("error: host: this machine has no address of 'if:nope'")
    assert running.end() == ExitCode.USAGE


def test_register_before_zookeeper_is_there(start: Start, zkdiscovery_proxy: FaultProxy) -> None:
    zkdiscovery_proxy.refuse()
    running = start("register", "payments", "--port", "80", "--hosts", zkdiscovery_proxy.address, "--timeout", "0.3")
    running.message("no connection to ZooKeeper", "trying on")
    running.line("PENDING")
    zkdiscovery_proxy.heal()
    running.line("REGISTERED")
    running.message("connected to")


def test_watch(start: Start, make_client: MakeClient) -> None:
    client = make_client()
    client.register("payments", 8080, id="[red]a", version="1").wait_registered(LIMIT)
    running = start("watch", "payments")
    running.line("+ [red]a  status UP  address ", ":8080  weight 1  version 1")
    other = client.register("payments", 8081, id="b").wait_registered(LIMIT)
    running.line("+ b  status UP")
    other.update(weight=5.0)
    running.line("~ b  weight 1 → 5")
    client.override("payments", "b", weight=5.0)
    running.line("~ b  override - → weight 5 instead of 5")
    client.override("payments", "b", status="DOWN")
    running.line("~ b  status UP → DOWN  override weight 5 instead of 5 → DOWN instead of UP")
    client.clear_override("payments", "b")
    running.line("~ b  status DOWN → UP  override DOWN instead of UP → -")
    other.close()
    running.line("- b")
    assert running.end(signal.SIGINT) == 130
    assert running.err.items == ["watching payments; 1 registered now"]
    assert not [line for line in running.out.items if "\x1b" in line]


def test_watch_as_json_lines(start: Start, make_client: MakeClient, namespace: str) -> None:
    running = start("watch", "payments", "-o", "json")
    running.message(f"watching payments; 0 registered now in {namespace}/services/payments")
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    added = json.loads(running.line('"added"'))
    assert added.keys() == {"time", "event", "before", "after"}
    assert (added["before"], added["after"]["id"]) == (None, "a")
    registration.set_status(Status.DOWN)
    updated = json.loads(running.line('"updated"'))
    assert (updated["before"]["status"], updated["after"]["status"]) == ("UP", "DOWN")
    registration.close()
    removed = json.loads(running.line('"removed"'))
    assert (removed["before"]["id"], removed["after"]) == ("a", None)
    assert running.end(signal.SIGTERM) == 143


def test_watch_tells_of_a_lost_connection(start: Start, zkdiscovery_proxy: FaultProxy) -> None:
    running = start("watch", "payments", "--hosts", zkdiscovery_proxy.address)
    running.message("watching payments")
    zkdiscovery_proxy.drop()
    running.message("warning: lost contact with")
    running.message("connected to")


def test_watch_before_zookeeper_is_there(start: Start, make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    running = start("watch", "payments", "--hosts", zkdiscovery_proxy.address, "--timeout", "0.3")
    running.message("no connection to ZooKeeper", "trying on")
    zkdiscovery_proxy.heal()
    running.line("+ a  status UP")
    running.message("watching payments; 1 registered now")
    assert running.end(signal.SIGINT) == 130


@pytest.mark.parametrize(
    "arguments",
    [
        ("services",),
        ("instances", "payments"),
        ("balance", "payments"),
        ("override", "payments", "a", "--weight", "1"),
        ("remove", "payments", "a"),
        ("elections",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_that_look_once_end_where_zookeeper_is_away(
    run: Callable[..., Done], arguments: tuple[str, ...], zkdiscovery_proxy: FaultProxy
) -> None:
    for absence in (zkdiscovery_proxy.refuse, zkdiscovery_proxy.pause):
        absence()
        done = run(*arguments, "--hosts", zkdiscovery_proxy.address, "--timeout", "0.3")
        assert (done.code, done.out) == (ExitCode.NOT_CONNECTED, "")
        assert done.err.startswith(f"error: no connection to ZooKeeper at {zkdiscovery_proxy.address} within 0.3 s")
        zkdiscovery_proxy.heal()


@pytest.mark.container
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_dev(
    start: Start, zkdiscovery_server: ZookeeperServer, request: pytest.FixtureRequest, number: signal.Signals
) -> None:
    source = request.config.getoption("--zkdiscovery-source")
    if zkdiscovery_server.source.startswith("ZKDISCOVERY_TEST_HOSTS"):
        pytest.skip("a shared server is not started, nor stopped")
    port = free_port()
    running = start("dev", "--source", source, "--port", str(port))
    variable, _, hosts = running.line("export ").removeprefix("export ").partition("=")
    assert variable == "ZKDISCOVERY_HOSTS"
    assert hosts.endswith(f":{port}")
    running.line("export ZKDISCOVERY_NAMESPACE=/shop")
    running.message(f"ZooKeeper at {hosts}", "Ctrl-C")
    environment = {**os.environ, variable: hosts}
    command = [sys.executable, "-m", "zkdiscovery", "services", "-o", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=True)
    assert json.loads(done.stdout) == []
    assert running.end(number) == 128 + number
    host, port = hosts.rsplit(":", 1)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=LIMIT)


def test_dev_takes_another_port_where_the_usual_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("zkdiscovery.cli.start._USUAL_PORT", taken_port := taken.getsockname()[1])
        assert usual_port(Cli()) is None
    assert f"the port {taken_port} is taken" in capsys.readouterr().err
    monkeypatch.setattr("zkdiscovery.cli.start._USUAL_PORT", port := free_port())
    assert usual_port(Cli()) == port


@pytest.mark.parametrize("command", ["dev", "demo"])
def test_no_server_to_be_had(start: Start, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("ZKDISCOVERY_TEST_HOSTS", "")
    running = start(command, "--source", "hosts")
    assert running.end() == ExitCode.NOT_CONNECTED
    assert "ZKDISCOVERY_TEST_HOSTS" in running.err.items[-1]
