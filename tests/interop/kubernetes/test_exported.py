"""Our services become Services with EndpointSlices in a real Kubernetes."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.interop.kubernetes.cluster import Cluster
from zkdiscovery import Instance
from zkdiscovery.bridges.kubernetes import ExportingKubernetesSource, KubernetesSource
from zkdiscovery.model import Status


@pytest.fixture
def exporter(cluster: Cluster, kube_namespace: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes exporters of a registry."""
    cluster.use(monkeypatch)
    return lambda registry="abc": ExportingKubernetesSource(lambda: registry, kube_namespace)


def payments(*hosts: str, **more: Any) -> dict[str, list[Instance]]:
    return {"payments": [Instance("payments", host, 8080, **more) for host in hosts]}


def endpoints(cluster: Cluster, namespace: str, service: str = "payments") -> dict[str, Any]:
    """Conditions of the endpoints of a Service, by address, as Kubernetes has them."""
    found = cluster.get(namespace, "endpointslices", "-l", f"kubernetes.io/service-name={service}")
    return {
        endpoint["addresses"][0]: endpoint["conditions"]
        for piece in found["items"]
        for endpoint in piece["endpoints"] or ()
    }


def names(cluster: Cluster, namespace: str, kind: str = "services") -> list[str]:
    return sorted(item["metadata"]["name"] for item in cluster.get(namespace, kind)["items"])


def test_a_service_is_made_follows_and_goes(cluster: Cluster, kube_namespace: str, exporter: Any) -> None:
    source = exporter()
    assert source.export(payments("10.1.0.1", "10.1.0.2")) == {}
    assert set(endpoints(cluster, kube_namespace)) == {"10.1.0.1", "10.1.0.2"}
    (service,) = cluster.get(kube_namespace, "services")["items"]
    address = service["spec"]["clusterIP"]
    assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [("main", 8080)]

    begin = time.monotonic()
    assert source.export(payments("10.1.0.2", "10.1.0.3", status=Status.DRAINING, ports={"metrics": 9100})) == {}
    assert time.monotonic() - begin < 2
    draining = {"ready": False, "serving": True, "terminating": True}
    assert endpoints(cluster, kube_namespace) == {"10.1.0.2": draining, "10.1.0.3": draining}
    (service,) = cluster.get(kube_namespace, "services")["items"]
    assert service["spec"]["clusterIP"] == address
    assert [port["name"] for port in service["spec"]["ports"]] == ["main", "metrics"]

    assert source.export({"payments": []}) == {}
    assert names(cluster, kube_namespace) == []
    assert names(cluster, kube_namespace, "endpointslices") == []


def test_what_kubernetes_refuses_is_reported_and_the_others_go_on(
    cluster: Cluster, kube_namespace: str, exporter: Any
) -> None:
    services = payments("10.1.0.1", "127.0.0.1", "169.254.0.1", "10.1.0.2")
    services["Payments_API"] = [Instance("Payments_API", "10.1.0.3", 80)]
    source = exporter()
    for _ in range(2):
        problems = source.export(services)
        assert set(problems) == {"payments/127.0.0.1:8080", "payments/169.254.0.1:8080", "Payments_API"}
        assert "loopback" in problems["payments/127.0.0.1:8080"]
        assert set(endpoints(cluster, kube_namespace)) == {"10.1.0.1", "10.1.0.2"}


def test_nothing_that_is_not_ours_is_touched(cluster: Cluster, kube_namespace: str, exporter: Any) -> None:
    cluster.kubectl("-n", kube_namespace, "create", "service", "clusterip", "payments", "--tcp=80")
    before = cluster.get(kube_namespace, "services")["items"]
    problems = exporter().export({**payments("10.1.0.1"), "web": [Instance("web", "10.1.0.2", 80)]})
    assert problems == {
        "payments": f"{kube_namespace} has a Service of the name payments that was not exported from here"
    }
    assert exporter("other").export({}) == {}
    assert names(cluster, kube_namespace) == ["payments", "web"]
    assert exporter().export({}) == {}
    assert cluster.get(kube_namespace, "services")["items"] == before


def test_a_slice_that_somebody_made_his_own_stops_no_other_service(
    cluster: Cluster, kube_namespace: str, exporter: Any
) -> None:
    """Without our label it is a stranger's, which has the name that ours would have."""
    source = exporter()
    assert source.export(payments("10.1.0.1")) == {}
    (name,) = names(cluster, kube_namespace, "endpointslices")
    cluster.kubectl("-n", kube_namespace, "label", "endpointslice", name, "zkdiscovery/registry-")
    web = {"web": [Instance("web", "10.1.0.9", 80)]}
    assert source.export({**payments("10.1.0.2"), **web}) == {
        "payments": f"{kube_namespace} has an EndpointSlice of the name {name} that was not exported from here"
    }
    assert set(endpoints(cluster, kube_namespace)) == {"10.1.0.1"}
    assert set(endpoints(cluster, kube_namespace, "web")) == {"10.1.0.9"}
    cluster.kubectl("-n", kube_namespace, "delete", "endpointslice", name)
    assert source.export({**payments("10.1.0.2"), **web}) == {}
    assert set(endpoints(cluster, kube_namespace)) == {"10.1.0.2"}


def test_slices_that_others_add_to_our_service_stay(cluster: Cluster, kube_namespace: str, exporter: Any) -> None:
    source = exporter()
    assert source.export(payments("10.1.0.1")) == {}
    added = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "by-hand", "labels": {"kubernetes.io/service-name": "payments"}},
        "addressType": "IPv4",
        "ports": [{"name": "main", "port": 8080}],
        "endpoints": [{"addresses": ["10.1.0.77"]}],
    }
    cluster.kubectl("-n", kube_namespace, "apply", "-f", "-", given=added)
    before = cluster.get(kube_namespace, "endpointslice", "by-hand")
    assert source.export(payments("10.1.0.2")) == {}
    assert set(endpoints(cluster, kube_namespace)) == {"10.1.0.2", "10.1.0.77"}
    assert source.export({}) == {}
    assert cluster.get(kube_namespace, "endpointslice", "by-hand") == before


def test_what_was_exported_is_not_imported(cluster: Cluster, kube_namespace: str, exporter: Any) -> None:
    exporter().export(payments("10.1.0.1"))
    source = KubernetesSource(kube_namespace)
    try:
        source.subscribe(lambda: None)
        assert source.list().instances == []
    finally:
        source.close()


def test_two_that_write_at_the_same_time_agree(cluster: Cluster, kube_namespace: str, exporter: Any) -> None:
    """They meet 409s. One of a registry leads; that another one writes is a change of leaders."""
    errors: list[Exception] = []

    def write(source: ExportingKubernetesSource) -> None:
        for number in range(10):
            try:
                source.export(payments(*(f"10.1.0.{host + 1}" for host in range(number))))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=write, args=[exporter()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all("others write" in str(error) for error in errors)
    assert exporter().export(payments("10.1.0.9")) == {}
    assert set(endpoints(cluster, kube_namespace)) == {"10.1.0.9"}


def test_a_large_service_is_split_and_one_change_writes_one_slice(
    cluster: Cluster, kube_namespace: str, exporter: Any
) -> None:
    hosts = [f"10.2.{number // 250}.{number % 250 + 1}" for number in range(500)]
    source = exporter()
    assert source.export(payments(*hosts)) == {}
    before = versions(cluster, kube_namespace)
    assert source.export(payments(*hosts[1:])) == {}
    after = versions(cluster, kube_namespace)
    assert set(endpoints(cluster, kube_namespace)) == set(hosts[1:])
    assert sum(before[name] != version for name, version in after.items()) == 1


def versions(cluster: Cluster, namespace: str) -> dict[str, str]:
    items = cluster.get(namespace, "endpointslices")["items"]
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in items}
