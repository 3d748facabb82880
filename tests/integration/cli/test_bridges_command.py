"""`bridges`, `bridge remove`, and what the doctor says of bridges."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import MakeClient
from tests.integration.bridges.engines import Engine, Running, imported, wait_ports
from tests.integration.cli.conftest import Done
from tests.support import Truth, wait_until
from zkdiscovery.bridges import SourceUnavailable

Run = Callable[..., Done]


def test_what_runs_and_what_is_away_is_listed(run: Run, make_client: MakeClient, namespace: str, truth: Truth) -> None:
    assert run("bridges", "-o", "json").json == []
    assert "no bridge runs" in run("bridges").err
    engine, single = Engine(), Engine("engine-2", clustered=False)
    engine.put(imported(1))
    engine.problems = {"db": "two networks"}
    with Running(make_client(), engine.bridged()), Running(make_client(), single.bridged()):
        wait_ports(make_client(), "web", 1)
        wait_until(lambda: len(run("bridges", "-o", "json").json) == 2)
        wait_until(lambda: run("bridges").err.count("two networks") == 1)
        found = {each["name"]: each for each in run("bridges", "-o", "json").json}
        cluster, host = found[engine.name], found[single.name]
        assert (cluster["kind"], cluster["identity"], cluster["clustered"]) == ("test", "engine-1", True)
        assert cluster["leader"] == cluster["bridges"][0]["id"]
        assert cluster["bridges"][0]["where"] == engine.where
        assert cluster["bridges"][0]["problems"] == {"db": "two networks"}
        assert cluster["away_since"] is None
        assert (host["clustered"], host["leader"], len(host["bridges"])) == (False, None, 1)
        engine.error = SourceUnavailable("connection refused")
        engine.tell()
        wait_until(lambda: truth.get(f"{namespace}/bridges/{engine.name}/away") is not None)
        lines = run("bridges").out.splitlines()
        assert any("connection refused" in line and "(leads)" in line for line in lines)
        findings = run("doctor", "-o", "json").json["findings"]
        assert any("connection refused" in each["found"] for each in findings)


def test_what_a_retired_source_has_left_is_removed(
    run: Run, make_client: MakeClient, namespace: str, truth: Truth
) -> None:
    client, engine = make_client(), Engine()
    client.register("web", 9001, host="10.9.9.9", id="own").wait_registered(5.0)
    engine.put(imported(1), imported(2), imported(3, service="shop"))
    with Running(make_client(), engine.bridged()):
        wait_until(lambda: len(client.instances("web")) == 3 and len(client.instances("shop")) == 1)
        refused = run("bridge", "remove", engine.name)
        assert refused.code == 6
        assert "runs" in refused.err
    findings = run("doctor", "-o", "json").json["findings"]
    [finding] = [each for each in findings if engine.name in each["check"]]
    assert finding["level"] == "warning"
    assert f"bridge remove {engine.name}" in finding["advice"]
    view = client.discover("web")
    wait_until(lambda: len(view.instances) == 3)
    assert run("bridge", "remove", engine.name, "-o", "json").json == {"source": engine.name, "removed": 3}
    wait_until(lambda: [instance.port for instance in view.instances] == [9001])
    assert view.snapshot.suspects == ()
    assert truth.get(f"{namespace}/bridges/{engine.name}") is None
    assert run("bridge", "remove", engine.name).code == 4
    assert run("bridge", "remove", "a/b").code == 2
