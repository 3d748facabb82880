"""What a service is in Kubernetes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from zkdiscovery import Instance
from zkdiscovery.bridges.kubernetes.exported import Wanted, labels_of, wanted
from zkdiscovery.model import Status

LABELS = labels_of("abc")


def export(*instances: Instance, name: str = "web") -> Wanted:
    return wanted(name, instances, LABELS)


def web(host: str = "10.0.0.1", port: int = 8080, **more: Any) -> Instance:
    return Instance("web", host, port, **more)


def endpoints(plan: Wanted) -> list[dict[str, Any]]:
    return [endpoint for piece in plan.slices.values() for endpoint in piece["endpoints"]]


def test_a_service_has_slices_with_its_label_and_ours() -> None:
    plan = export(web(zone="eu-1a", ports={"metrics": 9100}), web("10.0.0.2", ports={"metrics": 9100}))
    assert plan.ports == {"main": 8080, "metrics": 9100}
    ((name, body),) = plan.slices.items()
    assert name.startswith("web-")
    assert body["metadata"] == {
        "name": name,
        "labels": {
            "zkdiscovery/registry": "abc",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "zkdiscovery",
        },
    }
    assert body["addressType"] == "IPv4"
    assert body["ports"] == [
        {"name": "main", "port": 8080, "protocol": "TCP"},
        {"name": "metrics", "port": 9100, "protocol": "TCP"},
    ]
    ready = {"ready": True, "serving": True, "terminating": False}
    assert body["endpoints"] == [
        {"addresses": ["10.0.0.1"], "conditions": ready, "zone": "eu-1a"},
        {"addresses": ["10.0.0.2"], "conditions": ready},
    ]
    assert not plan.problems


@pytest.mark.parametrize(
    ("status", "conditions"),
    [
        (Status.UP, (True, True, False)),
        (Status.DRAINING, (False, True, True)),
        (Status.STARTING, (False, False, False)),
        (Status.DOWN, (False, False, False)),
        (Status.OUT_OF_SERVICE, (False, False, False)),
    ],
)
def test_the_status_becomes_conditions(status: Status, conditions: tuple[bool, ...]) -> None:
    (endpoint,) = endpoints(export(web(status=status)))
    assert tuple(endpoint["conditions"].values()) == conditions


@pytest.mark.parametrize(("weights", "ready"), [((0, 1), [False, True]), ((0, 0), [True, True])])
def test_weight_0_is_ready_only_if_nothing_else_is_left(weights: Sequence[float], ready: list[bool]) -> None:
    plan = export(*(web(f"10.0.0.{number}", weight=weight) for number, weight in enumerate(weights, 1)))
    assert [endpoint["conditions"]["ready"] for endpoint in endpoints(plan)] == ready


def test_families_and_ports_have_slices_of_their_own() -> None:
    plan = export(web(), web("10.0.0.2"), web("10.0.0.3", 9090), web("fd00::0001"))
    assert plan.ports == {"main": 8080}  # most of them
    found = sorted(
        (body["addressType"], body["ports"][0]["port"], [it["addresses"][0] for it in body["endpoints"]])
        for body in plan.slices.values()
    )
    assert found == [
        ("IPv4", 8080, ["10.0.0.1", "10.0.0.2"]),
        ("IPv4", 9090, ["10.0.0.3"]),
        ("IPv6", 8080, ["fd00::1"]),
    ]


def test_two_ports_of_one_number_are_one_port_of_the_service() -> None:
    plan = export(web(tls_port=8443, ports={"https": 8443, "http": 8080}))
    assert plan.ports == {"main": 8080, "https": 8443}


def test_large_services_have_slices_that_hardly_change() -> None:
    instances = [web(f"10.0.{number // 250}.{number % 250 + 1}") for number in range(1000)]
    before = export(*instances)
    assert max(len(body["endpoints"]) for body in before.slices.values()) < 200
    after = export(*instances[1:])
    assert sum(before.slices[name] != body for name, body in after.slices.items()) == 1


def test_what_kubernetes_does_not_have_is_a_problem() -> None:
    plan = export(web("web-1.example"), web("10.0.0.2", ports={"HTTP_x": 1}))
    assert len(endpoints(plan)) == 1
    assert plan.problems == {
        "web/web-1.example:8080": "web-1.example is a name, and Services need addresses",
        "web port HTTP_x": "a port of a Service has a name of lower-case letters, digits and '-'",
    }
    plan = export(web(), name="Payments_API")
    assert not plan.slices
    assert "lower-case letters" in plan.problems["Payments_API"]


def test_two_registries_have_slices_of_their_own() -> None:
    assert export(web()).slices.keys().isdisjoint(wanted("web", [web()], labels_of("other")).slices)
