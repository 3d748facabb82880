"""What a bridge registers in a Eureka, renews and deregisters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.support import wait_until
from tests.unit.bridges.eureka_server import EurekaServer, eureka_server, instance
from zkdiscovery import Instance, Status
from zkdiscovery.bridges.eureka import ExportingEurekaSource, export
from zkdiscovery.bridges.eureka.objects import Name

MakeExporter = Callable[..., ExportingEurekaSource]


@pytest.fixture
def server() -> Iterator[EurekaServer]:
    with eureka_server() as server:
        yield server


@pytest.fixture
def exporter(server: EurekaServer) -> Iterator[MakeExporter]:
    with ExitStack() as stack:

        def make(registry: str = "abc", changed: Callable[[], None] = lambda: None) -> ExportingEurekaSource:
            source = stack.enter_context(closing(ExportingEurekaSource(lambda: registry, server.url)))
            source.subscribe(changed)
            return source

        yield make


def payments(*numbers: int, **more: Any) -> dict[str, list[Instance]]:
    return {"payments": [Instance("payments", f"10.0.0.{number}", 80, id=f"p{number}", **more) for number in numbers]}


def statuses(server: EurekaServer) -> dict[str, str]:
    return {name.id: found["status"] for name, found in server.instances.items()}


def test_they_are_registered_follow_and_go(server: EurekaServer, exporter: MakeExporter) -> None:
    source = exporter()
    assert source.export(payments(1, 2, version="1.2", zone="a", weight=2.0, metadata={"team": "x"})) == {}
    found = server.instances[Name("PAYMENTS", "abc:p1")]
    assert (found["vipAddress"], found["hostName"], found["port"]["$"]) == ("payments", "10.0.0.1", 80)
    assert {key: found["metadata"][key] for key in ("version", "zone", "weight", "team")} == {
        "version": "1.2", "zone": "a", "weight": "2", "team": "x",
    }  # fmt: skip
    source.export(payments(1, 2, status=Status.DRAINING))
    assert set(statuses(server).values()) == {"OUT_OF_SERVICE"}
    source.export(payments(1, 2))
    assert set(statuses(server).values()) == {"UP"}
    count = server.count("POST")
    source.export(payments(1, 2))
    assert server.count("POST") == count
    source.export({"payments": []})
    assert server.instances == {}


def test_nothing_of_others_is_touched_or_imported(server: EurekaServer, exporter: MakeExporter) -> None:
    server.put(instance(1, "PAYMENTS"), instance(2, "PAYMENTS", metadata={"zkdiscovery-registry": "other"}))
    before = dict(server.instances)
    source = exporter()
    source.export(payments(1))
    assert before.items() < server.instances.items()
    wait_until(lambda: server.count("GET /apps/delta") > 3)
    assert [each.object_id for each in source.list().instances] == ["web-1"]
    source.export({})
    assert server.instances == before


def test_the_next_bridge_takes_over_what_is_there(server: EurekaServer, exporter: MakeExporter) -> None:
    exporter().export(payments(1, 2))
    count = server.count("POST")
    source = exporter()
    source.export(payments(1))
    assert (server.count("POST"), statuses(server)) == (count, {"abc:p1": "UP"})


def test_a_lease_is_renewed_and_what_was_lost_is_registered_again(
    server: EurekaServer, exporter: MakeExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "RENEWAL", 0.2)
    woken: list[None] = []
    source = exporter(changed=lambda: woken.append(None))
    source.export(payments(1))
    wait_until(lambda: server.count("PUT /apps/PAYMENTS/abc%3Ap1") >= 3)
    woken.clear()
    server.instances = {}  # and no list of changes tells of it
    wait_until(lambda: woken)
    source.export(payments(1))
    assert statuses(server) == {"abc:p1": "UP"}
    count = server.count("PUT")
    source.export({})
    source.close()
    assert server.count("PUT") <= count + 1


def test_a_bridge_that_leads_no_more_brings_nothing_back(
    server: EurekaServer, exporter: MakeExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "RENEWAL", 0.2)
    exporter().export(payments(1))
    exporter().export({})
    count = server.count("POST")
    wait_until(lambda: server.count("PUT") >= 1)
    assert server.count("POST") == count
    assert server.instances == {}


def test_what_is_refused_is_reported_and_the_others_go_on(server: EurekaServer, exporter: MakeExporter) -> None:
    server.answers["POST /apps/A"] = 400, b"no"
    one = {name: [Instance(name, "10.0.0.1", 80, id="x")] for name in ("a", "b", "B")}
    problems = exporter().export(one)
    assert set(problems) == {"a/x", "b"}
    assert set(server.instances) == {Name("B", "abc:x")}


def test_weight_0_takes_calls_only_if_there_is_no_other(server: EurekaServer, exporter: MakeExporter) -> None:
    source = exporter()
    reserve = Instance("payments", "10.0.0.9", 80, id="reserve", weight=0.0)
    source.export({"payments": [reserve, *payments(1)["payments"]]})
    assert statuses(server) == {"abc:p1": "UP", "abc:reserve": "OUT_OF_SERVICE"}
    source.export({"payments": [reserve]})
    assert statuses(server) == {"abc:reserve": "UP"}
