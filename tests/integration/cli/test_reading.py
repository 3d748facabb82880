"""services, instances, elections."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

from tests.conftest import MakeClient
from tests.integration.cli.conftest import Done, Running
from tests.support import LIMIT, Truth
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.session.requests import AccessEntry, Create
from zkdiscovery.testing import FaultProxy

Run = Callable[..., Done]


def test_services(run: Run, make_client: MakeClient, truth: Truth, namespace: str) -> None:
    empty = run("services")
    assert (empty.code, empty.out, empty.err) == (0, "", f"no service is registered in {namespace}/services\n")
    assert run("services", "-o", "json").json == []
    client = make_client()
    client.register("payments", 8080).wait_registered(LIMIT)
    client.register("payments", 8081, ready="manual").wait_registered(LIMIT)
    client.register("accounts", 80).wait_registered(LIMIT)
    table = run("services")
    assert [line.split() for line in table.out.splitlines()] == [
        ["SERVICE", "INSTANCES", "UP"],
        ["accounts", "1", "1"],
        ["payments", "2", "1"],
    ]
    assert run("services", "-o", "json").json == [
        {"service": "accounts", "instances": 1, "up": 1},
        {"service": "payments", "instances": 2, "up": 1},
    ]


def test_one_service_without_rights_does_not_hide_the_others(
    run: Run, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    make_client().register("payments", 8080).wait_registered(LIMIT)
    truth.call(Create(f"{namespace}/services/secret", b"", [AccessEntry(4, "world", "anyone")]))
    done = run("services", "-o", "json")
    assert done.code == 0
    assert done.json == [
        {"service": "payments", "instances": 1, "up": 1},
        {"service": "secret", "instances": None, "up": None},
    ]
    assert done.err.startswith("warning: ")
    assert run("instances", "secret").code == ExitCode.REFUSED
    assert run("watch", "secret", "--timeout", "1").code == ExitCode.REFUSED


def test_instances(run: Run, make_client: MakeClient) -> None:
    registration = make_client().register(
        "payments", 8080, host="127.0.0.1", id="a", zone="eu-1a", version="1.2", weight=2.5, tags=["x", "y"],
        metadata={"k": "v"}, ports={"metrics": 9100},
    ).wait_registered(LIMIT)  # fmt: skip
    done = run("instances", "payments")
    assert done.code == 0
    header, row = done.out.splitlines()
    assert header.split() == [
        "ID", "ADDRESS", "STATUS", "WEIGHT", "OVERRIDE", "ZONE", "VERSION", "TAGS", "METADATA", "REGISTERED",
    ]  # fmt: skip
    assert row.split()[:9] == ["a", "127.0.0.1:8080", "UP", "2.5", "-", "eu-1a", "1.2", "x,y", "k=v"]
    assert run("instances", "payments", "--output", "json").json == [
        {
            "service": "payments", "id": "a", "host": "127.0.0.1", "port": 8080, "tls_port": None,
            "ports": {"metrics": 9100}, "status": "UP", "weight": 2.5, "zone": "eu-1a", "version": "1.2",
            "tags": ["x", "y"], "metadata": {"k": "v"}, "registered_at": registration.instance.registered_at,
            "override": None, "machine": None, "runtime": None, "source": None,
        }
    ]  # fmt: skip


def test_services_of_another_base_path(run: Run, make_client: MakeClient, namespace: str) -> None:
    base = f"{namespace}-discovery"
    make_client(base_path=base).register("payments", 8080, id="a").wait_registered(LIMIT)
    assert run("services").out == ""
    assert run("services", "--base-path", base, "-o", "json").json == [{"service": "payments", "instances": 1, "up": 1}]
    assert run("--base-path", base, "instances", "payments", "-o", "json").json[0]["id"] == "a"
    checks = {finding["check"] for finding in run("doctor", "--base-path", base, "-o", "json").json["findings"]}
    assert checks > {f"rights on {base}", f"rights on {namespace}/elections"}
    refused = run("services", "--base-path", namespace)
    assert (refused.code, refused.out) == (2, "")
    assert "base_path must be apart from the namespace's 'elections'" in refused.err


def test_no_instances(run: Run, namespace: str) -> None:
    done = run("instances", "nothing", "-o", "json")
    assert done.code == ExitCode.NOT_FOUND
    assert done.json == []
    assert done.err.startswith(f"error: no instance of 'nothing' is registered in {namespace}/services/nothing; ")


def test_what_others_wrote_is_harmless(run: Run, make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    client.register("payments", 80, id="[red]a", metadata={"title": "\x1b]0;owned\x07[bold]"}).wait_registered(LIMIT)
    truth.create(f"{namespace}/services/payments/[blink]broken", b"\x1b[2J")
    done = run("instances", "payments")
    assert done.code == 0
    assert "[red]a" in done.out
    assert "\\x1b]0;owned\\x07[bold]" in done.out
    assert done.err.startswith("warning: left out ")
    assert "[blink]broken" in done.err
    assert "\x1b" not in done.out + done.err


def test_elections(run: Run, make_client: MakeClient, truth: Truth, namespace: str) -> None:
    empty = run("elections")
    assert (empty.code, empty.out, empty.err) == (0, "", f"no election is under way in {namespace}/elections\n")
    first, second = make_client().election("nightly", id="[red]one"), make_client().election("nightly", id="two")
    truth.create(f"{namespace}/elections/deserted")
    with first.campaign(timeout=LIMIT) as term:
        second.start(lambda _: None)
        truth.wait(f"{namespace}/elections/nightly", lambda node: node is not None and node.stat.num_children == 2)
        done = run("elections", "-o", "json")
        assert done.code == 0
        deserted, nightly = done.json
        assert deserted == {"election": "deserted", "leader": None, "waiting": []}
        assert nightly["election"] == "nightly"
        assert nightly["leader"] == {"id": "[red]one", "fence": term.fence}
        assert [candidate["id"] for candidate in nightly["waiting"]] == ["two"]
        rows = [line.split() for line in run("elections").out.splitlines()]
        assert rows[1:] == [["deserted", "-", "-", "-"], ["nightly", "[red]one", str(term.fence), "two"]]
    second.close()


def test_operators(run: Run, make_client: MakeClient, truth: Truth, namespace: str) -> None:
    make_client().register("payments", 80, id="a").wait_registered(LIMIT)
    done = run("override", "payments", "a", "--status", "out_of_service", "--weight", "7", "-o", "json")
    assert done.code == 0
    assert (done.json["status"], done.json["weight"]) == ("OUT_OF_SERVICE", 7.0)
    assert run("instances", "payments", "-o", "json").json == [done.json]
    words = "OUT_OF_SERVICE instead of UP, weight 7 instead of 1"
    assert f"  OUT_OF_SERVICE  7       {words}  -  " in run("instances", "payments").out
    assert done.json["override"] == {"status": "OUT_OF_SERVICE", "weight": 7.0, "base_status": "UP", "base_weight": 1.0}
    assert f"  OUT_OF_SERVICE; an operator set {words}\n" in run("balance", "payments", "--picks", "1").out
    balanced = run("balance", "payments", "--picks", "1", "-o", "json").json
    assert balanced[0]["instance"] == done.json
    cleared = run("override", "payments", "a", "--clear")
    assert cleared.code == 0
    assert cleared.out.splitlines()[1].split()[2:4] == ["UP", "1"]
    for missing in (
        run("override", "payments", "b", "--weight", "1"),
        run("override", "payments", "b", "--clear"),
        run("remove", "payments", "b"),
    ):
        assert (missing.code, missing.out) == (ExitCode.NOT_FOUND, "")
        assert missing.err.count("\n") == 1


def test_operators_say_host_and_port_where_that_is_one_instance(run: Run, make_client: MakeClient) -> None:
    client = make_client()
    registration = client.register("payments", 80, host="fd00::7").wait_registered(LIMIT)
    for name, port in (("a", 81), ("b", 81), ("10.0.0.1:82", 83), ("c", 82)):
        client.register("payments", port, host="10.0.0.1", id=name).wait_registered(LIMIT)
    done = run("override", "payments", "[fd00::7]:80", "--weight", "7", "-o", "json")
    assert (done.code, done.json["id"], done.json["weight"]) == (0, registration.instance.id, 7.0)
    assert run("override", "payments", "[fd00::7]:80", "--clear", "-o", "json").json["weight"] == 1.0
    assert run("override", "payments", "10.0.0.1:82", "--weight", "2", "-o", "json").json["port"] == 83, "an id first"
    for several in (run("override", "payments", "10.0.0.1:81", "--clear"), run("remove", "payments", "10.0.0.1:81")):
        assert several.code == ExitCode.NOT_FOUND
        assert "2 instances of 'payments' are at 10.0.0.1:81; give an id: a, b" in several.err
    assert run("remove", "payments", "10.0.0.1:83").err.startswith("removed 10.0.0.1:82 of payments\n")


def test_remove(run: Run, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/services/payments/leftover", b"not even an instance")
    done = run("remove", "payments", "leftover")
    assert (done.code, done.out, done.err) == (0, "", "removed leftover of payments\n")
    assert truth.children(f"{namespace}/services/payments") == []
    truth.create(f"{namespace}/services/payments/leftover")
    assert run("remove", "payments", "leftover", "-o", "json").json == {
        "service": "payments", "id": "leftover", "removed": True,
    }  # fmt: skip


def test_a_reader_that_goes_away(make_client: MakeClient, options: list[str]) -> None:
    entries = [{"service": "payments", "port": port, "metadata": {"k": "v" * 1000}} for port in range(1, 301)]
    for registration in make_client().register_many(entries):  # type: ignore[arg-type]
        registration.wait_registered(LIMIT)
    with subprocess.Popen(
        [sys.executable, "-m", "zkdiscovery", *options, "instances", "payments", "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "[\n"
        process.stdout.close()
        assert process.wait(LIMIT) == ExitCode.BROKEN_PIPE
        assert process.stderr.read() == ""


def test_ctrl_c_while_connecting(start: Callable[..., Running], zkdiscovery_proxy: FaultProxy) -> None:
    zkdiscovery_proxy.blackhole()
    running = start("services", "--hosts", zkdiscovery_proxy.address, "--timeout", "50")
    zkdiscovery_proxy.wait_connections(1, LIMIT)
    assert running.end(signal.SIGINT) == 130
    assert running.out.items + running.err.items == []


def test_no_answer_within_the_limit(run: Run, zkdiscovery_proxy: FaultProxy) -> None:
    zkdiscovery_proxy.blackhole()
    done = run("instances", "payments", "--hosts", zkdiscovery_proxy.address, "--timeout", "0.5")
    assert done.code == ExitCode.NOT_CONNECTED
    assert "within 0.5 s" in done.err


def test_balance(run: Run, make_client: MakeClient) -> None:
    client = make_client()
    client.register("payments", 80, host="127.0.0.1", id="a", zone="eu-1a", weight=3.0).wait_registered(LIMIT)
    client.register("payments", 81, host="127.0.0.1", id="b").wait_registered(LIMIT)
    client.register("payments", 82, host="127.0.0.1", id="c", ready="manual").wait_registered(LIMIT)
    client.register("payments", 83, host="127.0.0.1", id="d", weight=0.0).wait_registered(LIMIT)
    done = run("balance", "payments", "--balancer", "weighted_round_robin", "--picks", "400")
    assert (done.code, done.err) == (0, "")
    assert [line.split(maxsplit=5) for line in done.out.splitlines()] == [
        ["ID", "STATUS", "ZONE", "WEIGHT", "SHARE", "WHY"],
        ["a", "UP", "eu-1a", "3", "75.0%", "-"],
        ["b", "UP", "-", "1", "25.0%", "-"],
        ["c", "STARTING", "-", "(1)", "0.0%", "STARTING"],
        ["d", "UP", "-", "(0)", "0.0%", "weight 0: only if nothing else is left"],
    ]
    found = run("balance", "payments", "--balancer", "maglev", "--key", "alice", "--picks", "10", "-o", "json").json
    assert [each["instance"]["id"] for each in found] == ["a", "b", "c", "d"]
    assert sorted(each["share"] for each in found) == [0.0, 0.0, 0.0, 1.0]
    assert [each["picked"] for each in found] == [True, True, False, False]
    young = run("balance", "payments", "--slow-start", "3600", "-o", "json").json
    assert young[0]["why"] == "slow start"
    assert 0.29 < young[0]["weight"] < 0.5


def test_balance_of_nothing(run: Run, make_client: MakeClient) -> None:
    assert run("balance", "nothing").code == ExitCode.NOT_FOUND
    assert run("balance", "payments", "--balancer", "fastest").code in {ExitCode.NOT_FOUND, ExitCode.USAGE}
    make_client().register("payments", 80, id="a", ready="manual").wait_registered(LIMIT)
    refused = run("balance", "payments", "--balancer", "fastest")
    assert refused.code == ExitCode.USAGE
    assert "'round_robin'" in refused.err
    done = run("balance", "payments", "-o", "json")
    assert done.code == 0
    assert done.json[0]["why"] == "STARTING"
