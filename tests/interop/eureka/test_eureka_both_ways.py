"""The instances of a real Eureka become ours, and ours are registered there."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.engines import Running, wait_instances, wait_ports
from tests.interop.eureka.server import Eureka
from tests.support import wait_until
from zkdiscovery import Client
from zkdiscovery.bridges.eureka import EurekaSource, ExportingEurekaSource
from zkdiscovery.bridges.registry import registry_id
from zkdiscovery.bridges.sources import read_sources
from zkdiscovery.model import Status

pytestmark = pytest.mark.timeout(400)

VISIBLE = 1.5  # seconds after Eureka shows it, on a busy machine
CACHE = 1.0  # seconds: that of the server of these tests, and some more


def exporting(client: Client, eureka: Eureka) -> ExportingEurekaSource:
    return ExportingEurekaSource(lambda: registry_id(client.slot.current()), eureka.url, cache=CACHE)


def test_an_instance_is_followed_from_its_registration_to_its_end(eureka: Eureka, make_client: MakeClient) -> None:
    client = make_client()
    with Running(client, EurekaSource(eureka.url, cache=CACHE)) as running:
        wait_until(lambda: read_sources(client, 5))
        eureka.register(1, metadata={"version": "1.2", "zone": "a", "team": "x"})
        found = wait_ports(client, "web", 1)[8001]
        assert (found.host, found.status, found.source) == ("10.0.0.1", Status.UP, running.bridge.name)
        assert (found.version, found.zone, found.metadata) == ("1.2", "a", {"team": "x"})

        def status() -> Status:
            (one,) = client.instances("web")
            return one.status

        steps: list[tuple[str, Callable[[], None], str, Status]] = [
            ("down", lambda: eureka.register(1, status="DOWN"), "DOWN", Status.DOWN),
            ("up", lambda: eureka.register(1), "UP", Status.UP),
            ("override", lambda: eureka.override(1, "OUT_OF_SERVICE"), "OUT_OF_SERVICE", Status.OUT_OF_SERVICE),
            ("its end", lambda: eureka.override(1, None), "UP", Status.UP),
        ]
        for what, act, theirs, ours in steps:
            act()
            wait_until(lambda: eureka.apps()[8001]["status"] == theirs)  # noqa: B023 - called at once
            began = time.monotonic()
            wait_until(lambda: status() is ours)  # noqa: B023
            print(f"{what}: {time.monotonic() - began:.2f} s")
            assert time.monotonic() - began < VISIBLE, what
        eureka.register(1, metadata={"team": "y"})
        wait_instances(client, "web", lambda found: found[8001].metadata == {"team": "y"})
        eureka.deregister(1)
        eureka.wait_ports()
        began = time.monotonic()
        wait_until(lambda: not client.instances("web"))
        assert time.monotonic() - began < VISIBLE
        (source,) = read_sources(client, 5)
        assert (source.kind, source.away_since, source.bridges[0].problems) == ("eureka", None, {})


def test_ours_are_registered_follow_and_go(eureka: Eureka, make_client: MakeClient) -> None:
    client = make_client()
    registration = client.register("payments", 9001, host="127.0.0.1", metadata={"team": "x"})
    eureka.register(1, "PAYMENTS")
    with Running(client, exporting(client, eureka)):
        shown = eureka.wait_ports(8001, 9001)[9001]
        assert (shown["status"], shown["vipAddress"], shown["metadata"]["team"]) == ("UP", "payments", "x")
        wait_instances(client, "payments", lambda found: found.keys() == {8001, 9001})
        for status in (Status.DOWN, Status.UP, Status.OUT_OF_SERVICE, Status.UP):
            registration.set_status(status)
            wait_until(lambda: eureka.apps()[9001]["status"] == status)  # noqa: B023 - called at once
        eureka.ask("DELETE", f"/apps/PAYMENTS/{shown['instanceId']}")  # by somebody else
        eureka.wait_ports(8001)
        eureka.wait_ports(8001, 9001, timeout=60.0)  # the next heartbeat says that it is gone
        registration.drain(0)
        eureka.wait_ports(8001)
        assert len(client.instances("payments")) == 1


def test_two_bridges_both_ways_make_no_loop_and_the_next_one_takes_over(
    eureka: Eureka, make_client: MakeClient
) -> None:
    client, other = make_client(), make_client()
    client.register("payments", 9001, host="127.0.0.1")
    eureka.register(1, "PAYMENTS")
    with Running(other, exporting(other, eureka)):
        with Running(client, exporting(client, eureka)):
            wait_instances(client, "payments", lambda found: found.keys() == {8001, 9001})
            eureka.wait_ports(8001, 9001)
        eureka.register(2, "PAYMENTS")
        wait_instances(client, "payments", lambda found: found.keys() == {8001, 8002, 9001})
        assert eureka.apps().keys() == {8001, 8002, 9001}
        assert len(client.instances("payments")) == 3


def test_killed_and_restarted_empty_nothing_is_lost(make_client: MakeClient) -> None:
    client = make_client()
    with closing(Eureka()) as eureka:
        eureka.register(1)
        client.register("payments", 9001, host="127.0.0.1")
        lost: list[object] = []
        with Running(client, exporting(client, eureka)), client.discover("web") as view:
            view.wait_ready(60)
            eureka.wait_ports(8001, 9001)
            subscription = view.on_change(lambda change: lost.append(change) if not change.after.instances else None)
            eureka.kill()
            wait_until(lambda: read_sources(client, 5)[0].away_since is not None)
            eureka.start()
            eureka.wait_ports(9001, timeout=60.0)  # the next heartbeat says that it is gone
            eureka.register(1)
            wait_until(lambda: read_sources(client, 5)[0].away_since is None)
            wait_until(lambda: not read_sources(client, 5)[0].bridges[0].problems, 60.0)
            assert len(view.available) == 1
            assert lost == []
            subscription.close()
