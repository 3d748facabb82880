"""The bridge of Kubernetes writes to a real ZooKeeper. The API server is one that does as the test says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.engines import Running
from tests.support import LIMIT, Truth, wait_until
from tests.unit.bridges.api_server import BREAK, ApiServer, api_server
from tests.unit.bridges.test_kubernetes_listing import endpoint, piece, pod, service
from tests.unit.bridges.test_kubernetes_streams import use_kubeconfig, with_uid, with_version
from zkdiscovery import Client, Instance
from zkdiscovery.bridges.kubernetes import KubernetesSource
from zkdiscovery.bridges.registry import registry_id
from zkdiscovery.model import Status


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """The Services `web` and `other`, and two pods of `web`."""
    with api_server() as server:
        use_kubeconfig(monkeypatch, server.kubeconfig(tmp_path / "kubeconfig"))
        server.items["services"] = [with_uid(service(), "s"), with_uid(service("other"), "o")]
        server.items["endpointslices"] = [web_slice("a", "b")]
        server.items["pods"] = [a_pod("a"), a_pod("b")]
        yield server


def address_of(uid: str) -> str:
    return f"10.0.0.{ord(uid) - ord('a') + 1}"


def a_pod(uid: str, **more: Any) -> Any:
    return with_version(pod(uid, more.pop("address", address_of(uid)), **more))


def web_slice(*uids: str) -> Any:
    return with_uid(piece(*(endpoint(address_of(uid), uid) for uid in uids)), "e")


def event(kind: str, found: Any) -> dict[str, Any]:
    return {"type": kind, "object": found}


def addresses(client: Client, name: str) -> dict[str, Status]:
    return {instance.host: instance.status for instance in client.instances(name)}


def test_pods_are_followed(server: ApiServer, make_client: MakeClient) -> None:
    client = make_client()
    with Running(client, KubernetesSource()) as running:
        wait_until(lambda: addresses(client, "web") == {"10.0.0.1": Status.UP, "10.0.0.2": Status.UP})
        instance: Instance = min(client.instances("web"), key=lambda one: one.host)
        assert instance.source == running.bridge.name
        assert instance.metadata["kubernetes.pod"] == "pod-a"
        deleted = a_pod("a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
        server.streams["pods"].put(event("MODIFIED", deleted))
        wait_until(lambda: addresses(client, "web") == {"10.0.0.1": Status.DRAINING, "10.0.0.2": Status.UP})
        server.streams["pods"].put(event("DELETED", deleted))
        wait_until(lambda: addresses(client, "web") == {"10.0.0.2": Status.UP})


def test_an_address_never_stands_under_two_services(
    server: ApiServer, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    client = make_client()
    with Running(client, KubernetesSource()):
        wait_until(lambda: len(client.instances("web")) == 2)
        # The next pod has the address while the slice of `web` still lists the former one.
        former = a_pod("a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
        later = with_uid(piece(endpoint("10.0.0.1", "n"), of="other"), "f")
        server.streams["pods"].put(event("MODIFIED", former))
        server.streams["endpointslices"].put(event("ADDED", later))
        server.streams["pods"].put(event("ADDED", a_pod("n", address="10.0.0.1", created="2026-01-01T00:01:00Z")))
        wait_until(lambda: addresses(client, "other") == {"10.0.0.1": Status.UP})
        assert addresses(client, "web") == {"10.0.0.2": Status.UP}
    # The former entry was deleted before the new one was made, or in the same transaction.
    root = f"{namespace}/services"
    deleted = truth.get(f"{root}/web")
    created = truth.get(f"{root}/other/{client.instances('other')[0].id}")
    assert deleted is not None
    assert created is not None
    assert deleted.stat.pzxid <= created.stat.czxid


def test_an_outage_of_the_api_server_removes_nothing(server: ApiServer, make_client: MakeClient) -> None:
    client = make_client()
    with Running(client, KubernetesSource()):
        wait_until(lambda: len(client.instances("web")) == 2)
        server.status["list pods"] = 503
        server.items["pods"] = [a_pod("b"), a_pod("c")]
        server.items["endpointslices"] = [web_slice("b", "c")]
        for kind in ("pods", "endpointslices"):
            server.streams[kind].put(BREAK)
        wait_until(lambda: len(server.asked["list pods"]) >= 3)
        assert set(addresses(client, "web")) == {"10.0.0.1", "10.0.0.2"}
        del server.status["list pods"]
        wait_until(lambda: set(addresses(client, "web")) == {"10.0.0.2", "10.0.0.3"})


def test_all_bridges_of_a_namespace_mark_their_exports_alike(make_client: MakeClient) -> None:
    clients = [make_client(), make_client(), make_client(namespace=f"{make_client().settings.namespace}/other")]
    for client in clients:
        client.start().wait_connected(LIMIT)
    one, two, other = (registry_id(client.slot.current()) for client in clients)
    assert one == two != other
    assert len(one) == 16
