"""The services of a real Consul become ours, by its own agent's checks."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.conftest import MakeClient
from tests.integration.bridges.engines import Running, wait_instances, wait_ports
from tests.interop.consul.server import Consul
from tests.support import wait_until
from zkdiscovery.bridges.consul import ConsulSource
from zkdiscovery.bridges.sources import read_sources
from zkdiscovery.model import Status

VISIBLE = 1.0  # seconds after Consul shows it


def timed(condition: Callable[[], object]) -> float:
    began = time.monotonic()
    wait_until(condition)
    return time.monotonic() - began


def test_an_instance_is_followed_from_its_registration_to_its_end(consul: Consul, make_client: MakeClient) -> None:
    client = make_client()
    with Running(client, ConsulSource(consul.url)) as running:
        consul.register(1, Tags=["blue"], Meta={"version": "1.2", "team": "a"}, Weights={"Passing": 5, "Warning": 2})
        seen = {1: wait_ports(client, "web", 1)[8001]}
        found = seen[1]
        assert (found.host, found.status, found.weight, found.tags) == ("10.0.0.1", Status.UP, 5, ("blue",))
        assert (found.version, found.zone, found.source) == ("1.2", "dc1", running.bridge.name)
        assert found.metadata == {"team": "a", "consul.node": "machine", "consul.datacenter": "dc1"}

        def state() -> tuple[Status, float]:
            (one,) = client.instances("web")
            return one.status, one.weight

        path = "/v1/agent/service/maintenance/web-1?enable="
        steps: list[tuple[str, Callable[[], object], tuple[Status, float]]] = [
            ("warning", lambda: consul.set_check(1, "warn"), (Status.UP, 2)),
            ("critical", lambda: consul.set_check(1, "fail"), (Status.DOWN, 5)),
            ("passing", lambda: consul.set_check(1, "pass"), (Status.UP, 5)),
            ("maintenance", lambda: consul.put(f"{path}true&reason=x"), (Status.OUT_OF_SERVICE, 5)),
            ("its end", lambda: consul.put(f"{path}false"), (Status.UP, 5)),
            ("weights", lambda: consul.register(1, Weights={"Passing": 7, "Warning": 1}), (Status.UP, 7)),
        ]
        for what, act, wanted in steps:
            act()
            took = timed(lambda wanted=wanted: state() == wanted)
            print(f"{what}: {took:.2f} s")
            assert took < VISIBLE, what
        consul.register(1, Address="", Meta={"zone": "b"})
        wait_instances(client, "web", lambda found: found[8001].host == "127.0.0.1" and found[8001].zone == "b")
        consul.deregister(1)
        assert timed(lambda: not client.instances("web")) < VISIBLE
        (status,) = read_sources(client, 5)
        assert (status.kind, status.away_since, status.bridges[0].problems) == ("consul", None, {})


def test_what_has_no_checks_and_what_consul_keeps_for_itself(consul: Consul, make_client: MakeClient) -> None:
    client = make_client()
    consul.register(1, check=None)
    consul.register(2, service="mesh", Kind="mesh-gateway", check=None)
    consul.register(3, service="no-port", Port=0, check=None)
    with Running(client, ConsulSource(consul.url)):
        wait_ports(client, "web", 1)
        consul.register(4, check=None)
        wait_ports(client, "web", 1, 4)
        consul.register(4, check=None, Meta={"a": "b"})  # no check tells of it
        wait_instances(client, "web", lambda found: found[8004].metadata.get("a") == "b")
        assert client.service_names() == ["web"]
        wait_until(lambda: "no port" in str(read_sources(client, 5)[0].bridges[0].problems))
        consul.put("/v1/agent/maintenance?enable=true")
        wait_instances(client, "web", lambda found: {one.status for one in found.values()} == {Status.OUT_OF_SERVICE})


def test_registering_with_a_check_that_fails_never_shows_it_up(consul: Consul, make_client: MakeClient) -> None:
    client = make_client()
    statuses = set()
    with client.discover("web") as view, Running(client, ConsulSource(consul.url)):
        view.on_change(lambda change: statuses.update(one.status for one in change.after.instances))
        for number in range(1, 11):
            consul.register(number, check={"CheckID": f"check-web-{number}", "TTL": "10m"})
        wait_instances(client, "web", lambda found: len(found) == 10)
    assert statuses == {Status.DOWN}
