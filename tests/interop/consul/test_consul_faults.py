"""Faults of a real Consul: killed, restarted without data or with old ones, stopped; rights; the bridges' own end."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.engines import Running, wait_instances, wait_ports
from tests.interop.consul.server import Consul
from tests.support import LIMIT, wait_until
from zkdiscovery import Client, Instance
from zkdiscovery.bridges.consul import ConsulSource, ExportingConsulSource
from zkdiscovery.bridges.registry import registry_id
from zkdiscovery.bridges.source import SourceRefused
from zkdiscovery.bridges.sources import read_sources
from zkdiscovery.model import Status

SETTLING = 6.0  # seconds instead of a minute


@pytest.fixture(autouse=True)
def _settle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkdiscovery.bridges.consul.source.SETTLING", SETTLING)


def source(client: Client, consul: Consul) -> ExportingConsulSource:
    return ExportingConsulSource(lambda: registry_id(client.slot.current()), consul.url)


def is_away(client: Client) -> bool:
    return read_sources(client, 5)[0].away_since is not None


def problems(client: Client) -> str:
    return str([bridge.problems for each in read_sources(client, 5) for bridge in each.bridges])


def test_it_is_killed_and_comes_back_as_it_was(consul: Consul, make_client: MakeClient) -> None:
    client = make_client()
    for number in (1, 2):
        consul.register(number)
        consul.set_check(number, "pass")  # which its agent keeps
    with Running(client, source(client, consul)):
        known = wait_ports(client, "web", 1, 2)
        client.register("payments", 9001, host="10.1.0.1")
        wait_until(lambda: 9001 in consul.passing("payments"), LIMIT)
        consul.kill()
        wait_until(lambda: is_away(client), LIMIT)
        assert {one.port: one for one in client.instances("web")} == known
        consul.start()
        began = time.monotonic()
        wait_until(lambda: not is_away(client), LIMIT)
        consul.deregister(2)
        wait_ports(client, "web", 1)
        took = time.monotonic() - began
        print(f"the truth {took:.1f} s after Consul was back")
        assert client.instances("web") == [known[8001]]
        assert took < SETTLING, "it has lost nothing"
        assert 9001 in consul.passing("payments")


def test_it_comes_back_without_its_data(consul: Consul, make_client: MakeClient) -> None:
    client = make_client()
    for number in range(1, 4):
        consul.register(number)
    with Running(client, source(client, consul)):
        known = wait_ports(client, "web", 1, 2, 3)
        client.register("payments", 9001, host="10.1.0.1")
        wait_until(lambda: 9001 in consul.passing("payments"), LIMIT)
        consul.kill()
        consul.forget()
        consul.start()
        began = time.monotonic()
        wait_until(lambda: "lost data" in problems(client), LIMIT)
        assert {one.port: one for one in client.instances("web")} == known
        wait_until(lambda: 9001 in consul.passing("payments"), LIMIT)  # ours are there again at once
        consul.register(1)
        consul.register(2, check={"CheckID": "check-web-2", "TTL": "10m", "Status": "critical"})
        wait_instances(client, "web", lambda found: found[8002].status is Status.DOWN)
        assert {one.port for one in client.instances("web")} == {8001, 8002, 8003}
        wait_ports(client, "web", 1, 2)  # the third one has had its time
        assert time.monotonic() - began > SETTLING - 2
        assert "lost data" not in problems(client)


@pytest.mark.long
def test_it_comes_back_with_old_data(consul: Consul, make_client: MakeClient) -> None:
    client = make_client()
    consul.register(1)
    others = {"Node": "external", "Address": "10.9.9.9", "Service": {"Service": "web", "ID": "x", "Port": 8009}}
    consul.put("/v1/catalog/register", others)
    with Running(client, source(client, consul)):
        wait_ports(client, "web", 1, 9)
        consul.kill()
        kept = consul.save()
        consul.start()
        wait_until(lambda: not is_away(client), LIMIT)
        consul.put("/v1/catalog/deregister", {"Node": "external"})
        for number in range(20, 50):
            consul.register(number, check=None)
        wait_instances(client, "web", lambda found: len(found) == 31)
        consul.kill()
        consul.restore(kept)
        consul.start()
        wait_until(lambda: "lost data" in problems(client), LIMIT)
        assert 8009 not in {one.port for one in client.instances("web")}, "what ended came back"
        consul.put("/v1/catalog/deregister", {"Node": "external"})  # as its owner does once it meets the old data
        wait_ports(client, "web", 1)


@pytest.mark.long
@pytest.mark.timeout(120)
def test_one_that_stands_still_is_noticed_and_removes_nothing(consul: Consul, make_client: MakeClient) -> None:
    client = make_client()
    consul.register(1)
    with Running(client, source(client, consul)):
        known = wait_ports(client, "web", 1)
        began = time.monotonic()
        consul.send(signal.SIGSTOP)
        try:
            wait_until(lambda: is_away(client), 40)
        finally:
            consul.send(signal.SIGCONT)
        print(f"noticed after {time.monotonic() - began:.1f} s")
        assert time.monotonic() - began < 30
        assert {one.port: one for one in client.instances("web")} == known
        consul.register(2)
        wait_ports(client, "web", 1, 2)


def test_two_bridges_take_over_without_a_gap(consul: Consul, make_client: MakeClient) -> None:
    clients = [make_client(), make_client(), make_client()]
    consul.register(1)
    clients[2].register("payments", 9001, host="10.1.0.1").wait_registered(LIMIT)
    gaps: list[str] = []
    with Running(clients[0], source(clients[0], consul)) as first:
        wait_ports(clients[2], "web", 1)
        wait_until(lambda: 9001 in consul.passing("payments"), LIMIT)
        with Running(clients[1], source(clients[1], consul)):
            wait_until(lambda: len(read_sources(clients[2], 5)[0].bridges) == 2, LIMIT)
            first.stop()

            def taken_over() -> bool:
                if 9001 not in consul.passing("payments"):
                    gaps.append("payments")
                if not clients[2].instances("web"):
                    gaps.append("web")
                return {one.port for one in clients[2].instances("web")} == {8001, 8002}

            consul.register(2)
            wait_until(taken_over, LIMIT)
    assert gaps == []


def test_rights_that_are_missing_are_named(
    tmp_path: Path, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    client.start().wait_connected(LIMIT)
    with contextlib.closing(Consul(tmp_path, acls=True)) as consul:
        consul.register(1)

        def use(rules: str) -> ExportingConsulSource:
            policy = consul.put("/v1/acl/policy", {"Name": f"p{abs(hash(rules))}", "Rules": rules})
            token = consul.put("/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})["SecretID"]
            monkeypatch.setenv("CONSUL_HTTP_TOKEN", token)
            return source(client, consul)

        for given in (None, "00000000-0000-0000-0000-00000000000f"):
            monkeypatch.setenv("CONSUL_HTTP_TOKEN", given or "")
            with contextlib.closing(ConsulSource(consul.url)) as refused:
                with pytest.raises(SourceRefused, match=r"CONSUL_HTTP_TOKEN a token with node_prefix") as error:
                    refused.identity()
                assert given is None or given not in f"{error.value}{vars(refused)}"
        with contextlib.closing(use('service_prefix "" { policy = "read" }')) as refused, pytest.raises(SourceRefused):
            refused.identity()
        read = 'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }'
        with contextlib.closing(use(read)) as reading:
            reading.identity()
            reading.subscribe(lambda: None)
            assert [one.port for one in reading.list().instances] == [8001]
            with pytest.raises(SourceRefused, match="write the catalogue"):
                reading.export({"x": [Instance("x", "10.1.0.1", 9001)]})
        write = f'{read} node_prefix "zkdiscovery-" {{ policy = "write" }} service_prefix "" {{ policy = "write" }}'
        with contextlib.closing(use(write)) as writing:
            assert writing.export({"x": [Instance("x", "10.1.0.1", 9001)]}) == {}
            assert set(consul.passing("x")) == {9001}
            assert writing.export({}) == {}
            assert consul.passing("x") == {}
