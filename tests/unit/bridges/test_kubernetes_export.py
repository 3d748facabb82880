"""What is written into Kubernetes, and what happens if somebody else writes at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bridges.test_kubernetes_streams import use_kubeconfig
from tests.unit.bridges.writable import Objects, objects
from zkdiscovery import Instance
from zkdiscovery.bridges import Exporter, SourceUnavailable
from zkdiscovery.bridges.kubernetes import ExportingKubernetesSource, KubernetesSource

Export = Callable[..., Mapping[str, str]]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    with objects() as server:
        use_kubeconfig(monkeypatch, server.kubeconfig(tmp_path / "kubeconfig"))
        yield server


@pytest.fixture
def source(server: Objects) -> ExportingKubernetesSource:
    return ExportingKubernetesSource(lambda: "abc")


def web(*hosts: str, **more: Any) -> dict[str, Sequence[Instance]]:
    return {"web": [Instance("web", host, 8080, **more) for host in hosts]}


def slices(server: Objects) -> list[str]:
    """The addresses of all endpoints."""
    return sorted(
        endpoint["addresses"][0]
        for (kind, _), found in server.objects.items()
        if kind == "endpointslices"
        for endpoint in found["endpoints"]
    )


def foreign(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"ports": [{"port": 80}]}}


def test_only_the_one_exports(source: ExportingKubernetesSource) -> None:
    assert isinstance(source, Exporter)
    assert not isinstance(KubernetesSource(), Exporter)


def test_the_difference_is_written(server: Objects, source: ExportingKubernetesSource) -> None:
    assert source.export(web("10.0.0.1", "10.0.0.2")) == {}
    assert [write.split()[:2] for write in server.written] == [["create", "services"], ["create", "endpointslices"]]
    del server.written[:]
    assert source.export(web("10.0.0.1", "10.0.0.2")) == {}
    assert server.written == []
    assert source.export(web("10.0.0.2", "10.0.0.3")) == {}
    assert [write.split()[:2] for write in server.written] == [["update", "endpointslices"]]
    assert slices(server) == ["10.0.0.2", "10.0.0.3"]
    assert source.export(web("10.0.0.2", ports={"metrics": 9100})) == {}
    ports = server.objects["services", "web"]["spec"]["ports"]
    assert [(port["name"], port["port"]) for port in ports] == [("main", 8080), ("metrics", 9100)]
    assert source.export({"web": []}) == {}
    assert server.objects == {}


def test_the_number_of_a_port_stays(server: Objects, source: ExportingKubernetesSource) -> None:
    source.export(web("10.0.0.1"))
    source.export({"web": [Instance("web", "10.0.0.1", 9090, ports={"admin": 8080})]})
    ports = server.objects["services", "web"]["spec"]["ports"]
    assert [(port["name"], port["port"]) for port in ports] == [("main", 8080)]  # another one of that number can't be
    ((_, body),) = [(key, found) for key, found in server.objects.items() if key[0] == "endpointslices"]
    assert {port["name"]: port["port"] for port in body["ports"]} == {"main": 9090, "admin": 8080}


def test_an_address_that_is_refused_is_left_out(server: Objects, source: ExportingKubernetesSource) -> None:
    services = {**web("127.0.0.1", "10.0.0.1", "127.0.0.2"), "other": [Instance("other", "10.0.0.9", 80)]}
    for _ in range(2):
        problems = source.export(services)
        assert problems == {
            "web/127.0.0.1:8080": "127.0.0.1: may not be in the loopback range",
            "web/127.0.0.2:8080": "127.0.0.2: may not be in the loopback range",
        }
        assert slices(server) == ["10.0.0.1", "10.0.0.9"]
    assert len(server.written) == 4  # nothing by the second call


def test_foreign_objects_are_left_alone(server: Objects, source: ExportingKubernetesSource) -> None:
    before = (
        server.put("services", foreign("web")),
        server.put("services", foreign("api", **{"zkdiscovery/registry": "x"})),
    )
    problems = source.export({**web("10.0.0.1"), "other": [Instance("other", "10.0.0.9", 80)]})
    assert problems == {"web": "shop has a Service of the name web that was not exported from here"}
    assert source.export({}) == {}
    assert tuple(server.objects.values()) == before


def test_a_foreign_slice_stops_no_other_service(server: Objects, source: ExportingKubernetesSource) -> None:
    source.export(web("10.0.0.1"))
    ((_, name),) = (key for key in server.objects if key[0] == "endpointslices")
    server.put("endpointslices", {**foreign(name), "endpoints": []})
    problems = source.export({**web("10.0.0.2"), "other": [Instance("other", "10.0.0.9", 80)]})
    assert problems == {"web": f"shop has an EndpointSlice of the name {name} that was not exported from here"}
    assert "10.0.0.9" in slices(server)


def test_another_bridge_of_this_registry_may_write_meanwhile(
    server: Objects, source: ExportingKubernetesSource
) -> None:
    server.meanwhile = lambda: server.put("services", {**foreign("web", **{"zkdiscovery/registry": "abc"})})
    assert source.export(web("10.0.0.1")) == {}
    assert slices(server) == ["10.0.0.1"]

    def touch() -> None:
        for (kind, _), found in list(server.objects.items()):
            server.put(kind, found)

    server.meanwhile = touch
    assert source.export(web("10.0.0.2")) == {}
    assert slices(server) == ["10.0.0.2"]
    server.meanwhile = server.objects.clear
    assert source.export(web("10.0.0.3")) == {}
    assert slices(server) == ["10.0.0.3"]
    server.meanwhile = touch
    assert source.export({}) == {}
    assert server.objects == {}


def test_it_gives_up_if_others_write_all_the_time(
    server: Objects, source: ExportingKubernetesSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.export(web("10.0.0.1"))

    def touch() -> None:
        for (kind, _), found in list(server.objects.items()):
            server.put(kind, found)
        server.meanwhile = touch

    touch()
    with pytest.raises(SourceUnavailable, match="others write the Services of shop"):
        source.export(web("10.0.0.2"))
