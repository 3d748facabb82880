"""Instances from Services, EndpointSlices and pods, as the API server writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from zkdiscovery.bridges.kubernetes.listing import Instances
from zkdiscovery.bridges.kubernetes.objects import Pod, Service, Slice
from zkdiscovery.bridges.source import Death, Imported
from zkdiscovery.model import Status

PORTS = ({"name": "http", "port": 8080, "protocol": "TCP"},)


def service(name: str = "web", ports: Iterable[dict[str, Any]] = PORTS, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, **metadata}, "spec": {"ports": list(ports)}}


def endpoint(address: str, pod: str | None, **more: Any) -> dict[str, Any]:
    target = {"targetRef": {"kind": "Pod", "uid": pod}} if pod else {}
    return {"addresses": [address], "conditions": {"ready": True}, **target, **more}


def piece(
    *endpoints: dict[str, Any],
    of: str = "web",
    family: str = "IPv4",
    ports: Iterable[dict[str, Any]] = PORTS,
    version: int = 7,
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": of, **(labels or {})}
    metadata = {"namespace": "shop", "name": "web-x", "labels": labels, "resourceVersion": str(version)}
    return {"metadata": metadata, "addressType": family, "ports": list(ports), "endpoints": list(endpoints)}


def pod(uid: str, *addresses: str, phase: str = "Running", created: str = "2026-01-01T00:00:00Z", **more: Any) -> Any:
    status = {"phase": phase, "podIPs": [{"ip": address} for address in addresses], **more.pop("status", {})}
    metadata = {"uid": uid, "name": f"pod-{uid}", "creationTimestamp": created, **more.pop("metadata", {})}
    return {"metadata": metadata, "spec": more.pop("spec", {}), "status": status}


def listed(
    services: Sequence[Any], slices: Sequence[Any], pods: Sequence[Any], *, qualified: bool = False
) -> tuple[list[Imported], dict[str, str]]:
    return Instances(qualified=qualified).of(
        [parsed for found in services if (parsed := Service.parse(found))],
        [parsed for found in slices if (parsed := Slice.parse(found))],
        [Pod.parse(found) for found in pods],
    )


def only(*arguments: Any, **options: Any) -> Imported:
    (instance,), problems = listed(*arguments, **options)
    assert not problems
    return instance


def test_an_endpoint_of_a_pod_is_an_instance() -> None:
    found = endpoint("10.0.0.1", "a", zone="eu-1a", nodeName="node-1")
    labels = {"app.kubernetes.io/version": "1.2"}
    instance = only([service()], [piece(found)], [pod("a", "10.0.0.1", metadata={"labels": labels})])
    assert instance == Imported(
        "web",
        "a",
        "10.0.0.1",
        8080,
        ports={"http": 8080},
        zone="eu-1a",
        version="1.2",
        metadata={
            "kubernetes.namespace": "shop",
            "kubernetes.pod": "pod-a",
            "kubernetes.node": "node-1",
        },
        runtime="a",
    )


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"ready": True, "serving": True, "terminating": False}, Status.UP),
        ({}, Status.UP),
        ({"ready": None}, Status.UP),
        ({"ready": False, "serving": False, "terminating": False}, Status.DOWN),
        ({"ready": False, "serving": True, "terminating": True}, Status.DRAINING),
        ({"ready": True, "serving": True, "terminating": True}, Status.DRAINING),
    ],
)
def test_conditions_decide_the_status(conditions: dict[str, Any], status: Status) -> None:
    found = endpoint("10.0.0.1", "a", conditions=conditions)
    assert only([service()], [piece(found)], [pod("a", "10.0.0.1")]).status is status


def test_a_pod_that_is_not_ready_is_down_before_its_slice_says_so() -> None:
    """Its container may have ended: what it registered itself is deleted then, and its address must not be UP."""
    conditions = [{"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "False"}]
    unready = pod("a", "10.0.0.1", status={"conditions": conditions})
    assert only([service()], [piece(endpoint("10.0.0.1", "a"))], [unready]).status is Status.DOWN
    early = service()
    early["spec"]["publishNotReadyAddresses"] = True
    assert only([early], [piece(endpoint("10.0.0.1", "a"))], [unready]).status is Status.UP


def test_a_pod_that_was_deleted_drains_before_its_slice_says_so() -> None:
    deleted = pod("a", "10.0.0.1", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert only([service()], [piece(endpoint("10.0.0.1", "a"))], [deleted]).status is Status.DRAINING


@pytest.mark.parametrize(
    "pods", [[], [pod("a", "10.0.0.1", phase="Failed")], [pod("a", "10.0.0.1", phase="Succeeded")]]
)
def test_an_endpoint_whose_pod_is_gone_is_left_out(pods: list[Any]) -> None:
    assert listed([service()], [piece(endpoint("10.0.0.1", "a"))], pods) == ([], {})


def test_an_address_that_another_pod_has_is_never_shown_under_the_old_service() -> None:
    services = [service(), service("other")]
    slices = [piece(endpoint("10.0.0.1", "old")), piece(endpoint("10.0.0.1", "new"), of="other")]
    old = pod("old", "10.0.0.1", metadata={"deletionTimestamp": "2026-01-01T00:01:00Z"})
    new = pod("new", "10.0.0.1", created="2026-01-01T00:01:00Z")
    for pods in ([old, new], [new, old]):
        assert only(services, slices, pods).object_id == "new"
    # Pods on the network of their node share its address.
    shared = [pod(uid, "10.0.0.1", spec={"hostNetwork": True}) for uid in ("old", "new")]
    assert {it.object_id for it in listed(services, slices, shared)[0]} == {"old", "new"}


def test_a_pod_of_two_families_is_one_instance() -> None:
    slices = [piece(endpoint("10.0.0.1", "a")), piece(endpoint("fd00::1", "a"), family="IPv6", version=9)]
    for order in (slices, slices[::-1]):
        assert only([service()], order, [pod("a", "10.0.0.1", "fd00::1")]).address == "10.0.0.1"
    assert only([service()], slices[1:], [pod("a", "fd00::1")]).address == "fd00::1"


def test_an_endpoint_in_two_slices_is_as_the_later_one_says() -> None:
    slices = [
        piece(endpoint("10.0.0.1", "a", conditions={"ready": False}), version=10),
        piece(endpoint("10.0.0.1", "a"), version=9),
    ]
    assert only([service()], slices, [pod("a", "10.0.0.1")]).status is Status.DOWN


def test_the_first_port_of_the_service_is_the_main_one() -> None:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "web", "port": 80},
        {"name": "admin", "port": 9901},
        {"name": "https", "port": 443},
    ]
    numbers = [
        {"name": "admin", "port": 9901},
        {"name": "https", "port": 8443},
        {"name": "web", "port": 8080},
        {"name": "dns", "port": 5353, "protocol": "UDP"},
    ]
    instance = only([service(ports=ports)], [piece(endpoint("10.0.0.1", "a"), ports=numbers)], [pod("a", "10.0.0.1")])
    assert (instance.port, instance.tls_port) == (8080, 8443)
    assert instance.ports == {"web": 8080, "admin": 9901, "https": 8443}


def test_a_port_without_a_name_has_none() -> None:
    instance = only(
        [service(ports=[{"port": 80}])],
        [piece(endpoint("10.0.0.1", "a"), ports=[{"name": "", "port": 8080, "appProtocol": "https"}])],
        [pod("a", "10.0.0.1")],
    )
    assert (instance.port, instance.tls_port, instance.ports) == (8080, 8080, {})


def test_a_service_without_a_tcp_port_is_a_problem() -> None:
    found, problems = listed([service(ports=[])], [piece(endpoint("10.0.0.1", "a"), ports=[])], [pod("a", "10.0.0.1")])
    assert not found
    assert problems == {"Service shop/web": "it has no TCP port; name one in spec.ports, also if it is headless"}


def test_an_annotation_names_the_service() -> None:
    slices, pods = [piece(endpoint("10.0.0.1", "a"))], [pod("a", "10.0.0.1")]
    for qualified in (False, True):
        named = service(annotations={"zkdiscovery/name": "payments"})
        assert only([named], slices, pods, qualified=qualified).service == "payments"
    assert only([service()], slices, pods, qualified=True).service == "web.shop"
    assert listed([service(annotations={"zkdiscovery/name": ""})], slices, pods) == ([], {})
    found, problems = listed([service(annotations={"zkdiscovery/name": "a/b"})], slices, pods)
    assert not found
    assert "the annotation zkdiscovery/name must not contain '/'" in problems["Service shop/web"]


def test_what_was_exported_and_what_has_no_service_is_not_imported() -> None:
    mark = {"zkdiscovery/registry": "abc"}
    slices, pods = [piece(endpoint("10.0.0.1", "a"))], [pod("a", "10.0.0.1")]
    assert listed([service(labels=mark)], slices, pods) == ([], {})
    assert listed([service()], [piece(endpoint("10.0.0.1", None), labels=mark)], pods) == ([], {})
    assert listed([], slices, pods) == ([], {})
    api_server = {"metadata": {"namespace": "default", "name": "kubernetes"}}
    assert Service.parse(api_server) is None


def test_an_endpoint_that_no_pod_stands_behind_is_known_by_its_address() -> None:
    instance = only([service()], [piece(endpoint("192.0.2.1", None))], [])
    assert (instance.object_id, instance.runtime, instance.status) == ("shop.web.192.0.2.1", None, Status.UP)


def test_runs_that_ended_are_deaths() -> None:
    def container(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "restartCount": 1, **more}

    ended = {"terminated": {"containerID": "containerd://run1", "finishedAt": "2026-01-01T00:00:10Z"}}
    again = {"terminated": {"containerID": "containerd://run2", "finishedAt": "2026-01-01T00:00:20Z"}}
    running = {"running": {"startedAt": "2026-01-01T00:00:11Z"}}
    at = 1767225600.0  # 2026-01-01T00:00:00Z

    def deaths(*containers: dict[str, Any]) -> tuple[Death, ...]:
        return Pod.parse(pod("a", "10.0.0.1", status={"containerStatuses": list(containers)})).deaths

    assert deaths(container("main", state=running)) == ()
    assert deaths(container("main", state=running, lastState=ended)) == (Death("run1"), Death("a/main", at + 10))
    assert deaths(container("main", state=again, lastState=ended)) == (
        Death("run1"),
        Death("run2"),
        Death("a/main", at + 20),
    )
    assert deaths(container("main", state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended)) == (
        Death("run1"),
        Death("a/main", at + 10),
    )
    assert Pod.parse(pod("a", "10.0.0.1", phase="Failed")).deaths == (Death("a"),)


def test_what_has_not_changed_is_not_made_again() -> None:
    """A thousand pods took 15 ms of the processor for each change."""
    services = [Service.parse(service()), Service.parse(service("shop"))]
    slices = [
        Slice.parse(piece(endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b"))),
        Slice.parse(piece(endpoint("10.0.0.3", "c"), of="shop")),
    ]
    pods = [Pod.parse(pod(uid, address)) for uid, address in (("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3"))]
    instances = Instances(qualified=False)

    def made() -> dict[str, Imported]:
        found, _ = instances.of([it for it in services if it], [it for it in slices if it], pods)
        return {instance.object_id: instance for instance in found}

    def remade() -> set[str]:
        after = made()
        return {uid for uid, instance in after.items() if instance is not before.get(uid)}

    before = made()
    assert before.keys() == {"a", "b", "c"}
    assert remade() == set()
    pods[1] = Pod.parse(pod("b", "10.0.0.2", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
    assert remade() == {"b"}
    assert made()["b"].status is Status.DRAINING
    before = made()
    slices[1] = Slice.parse(piece(endpoint("10.0.0.3", "c", conditions={"ready": False}), of="shop"))
    assert remade() == {"c"}
    assert made()["c"].status is Status.DOWN
    before = made()
    services[0] = Service.parse(service(annotations={"zkdiscovery/name": "front"}))
    assert remade() == {"a", "b"}
    assert made()["a"].service == "front"
