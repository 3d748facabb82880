"""Lists and watches of the Kubernetes source, at an API server that misbehaves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import wait_until
from tests.unit.bridges.api_server import BREAK, END, ApiServer, api_server
from tests.unit.bridges.test_kubernetes_listing import endpoint, piece, pod, service
from zkdiscovery.bridges.kubernetes import KubernetesSource, watched
from zkdiscovery.bridges.kubernetes.objects import EXPORTED
from zkdiscovery.bridges.source import Death, SourceRefused, SourceUnavailable
from zkdiscovery.errors import InvalidSettings
from zkdiscovery.testing.ports import free_port


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A Service with an endpoint and its pod, and one pod more."""
    with api_server() as server:
        use_kubeconfig(monkeypatch, server.kubeconfig(tmp_path / "kubeconfig"))
        server.items["services"] = [with_uid(service(), "s")]
        server.items["endpointslices"] = [with_uid(piece(endpoint("10.0.0.1", "a")), "e")]
        server.items["pods"] = [with_version(pod("a", "10.0.0.1")), with_version(pod("b", "10.0.0.2"))]
        yield server


@pytest.fixture
def source(server: ApiServer) -> Iterator[KubernetesSource]:
    with contextlib.closing(KubernetesSource()) as source:
        yield source


def use_kubeconfig(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Use this kubeconfig. The client reads the environment only when it is imported."""
    for module in ("kubernetes.config", "kubernetes.config.kube_config"):
        monkeypatch.setattr(f"{module}.KUBE_CONFIG_DEFAULT_LOCATION", str(path))


def with_uid(found: Any, uid: str) -> Any:
    return with_version({**found, "metadata": {**found["metadata"], "uid": uid}})


def with_version(found: Any, version: int = 101) -> Any:
    return {**found, "metadata": {**found["metadata"], "resourceVersion": str(version)}}


def ids(source: KubernetesSource) -> set[str]:
    return {instance.object_id for instance in source.list().instances}


def nothing() -> None:
    """Do nothing about a change."""


def test_pages_are_put_together_and_the_namespace_is_that_of_the_context(
    server: ApiServer, source: KubernetesSource
) -> None:
    server.page = 1
    source.subscribe(nothing)
    assert ids(source) == {"a"}
    assert [query.get("continue") for query in server.asked["list pods"]] == [None, "1"]
    assert "namespace shop" in source.where
    assert source.identity() == "uid-of-the-cluster.shop"


def test_a_watch_goes_on_from_the_last_bookmark(
    server: ApiServer, source: KubernetesSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "WATCH", 0)  # so no end of a stream is too early
    source.subscribe(nothing)
    server.streams["pods"].put({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "250"}}})
    server.streams["pods"].put(END)
    wait_until(lambda: len(server.asked["watch pods"]) == 2)
    assert [query["resourceVersion"] for query in server.asked["watch pods"]] == ["100", "250"]
    assert len(server.asked["list pods"]) == 1
    assert ids(source) == {"a"}


@pytest.mark.parametrize(
    "end",
    [{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}, BREAK, END],
    ids=["410", "broken", "ended"],
)
def test_each_fault_ends_in_a_new_list(server: ApiServer, source: KubernetesSource, end: object) -> None:
    source.subscribe(nothing)
    server.items["pods"] = server.items["pods"][1:]  # nobody tells of it
    server.streams["pods"].put(end)
    wait_until(lambda: len(server.asked["watch pods"]) == 2)
    wait_until(lambda: not ids(source))
    assert source.list().deaths == [Death("a")]


def test_events_are_taken_over(server: ApiServer, source: KubernetesSource) -> None:
    source.subscribe(nothing)
    later = piece(endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b"))
    server.streams["endpointslices"].put({"type": "MODIFIED", "object": with_uid(later, "e")})
    wait_until(lambda: ids(source) == {"a", "b"})
    server.streams["pods"].put({"type": "DELETED", "object": server.items["pods"][0]})
    wait_until(lambda: ids(source) == {"b"})
    server.streams["services"].put({"type": "DELETED", "object": server.items["services"][0]})
    wait_until(lambda: not ids(source))


@pytest.mark.parametrize("kind", ["MODIFIED", "DELETED"])
def test_a_change_of_an_exported_object_wakes_the_bridge(
    server: ApiServer, source: KubernetesSource, kind: str
) -> None:
    """The object is not imported, but somebody may have spoilt what the bridge exported."""
    changes: list[None] = []
    source.subscribe(lambda: changes.append(None))
    before = len(changes)
    exported = piece(endpoint("10.9.0.1", None), labels={EXPORTED: "abc"})
    server.streams["endpointslices"].put({"type": kind, "object": with_uid(exported, "x")})
    wait_until(lambda: len(changes) > before)
    assert ids(source) == {"a"}


def test_an_object_that_is_not_understood_harms_no_other(
    server: ApiServer, source: KubernetesSource, caplog: pytest.LogCaptureFixture
) -> None:
    server.items["endpointslices"].append(with_uid({**piece(), "endpoints": [{"addresses": 7}]}, "odd"))
    source.subscribe(nothing)
    assert ids(source) == {"a"}
    assert "endpointslices web-x" in caplog.text


def test_streams_that_end_at_once_are_opened_ever_more_slowly(server: ApiServer, source: KubernetesSource) -> None:
    for _ in range(4):
        server.streams["pods"].put(END)
    begin = time.monotonic()
    with contextlib.suppress(SourceUnavailable):
        source.subscribe(nothing)
    wait_until(lambda: len(server.asked["watch pods"]) == 5)
    assert time.monotonic() - begin > (0.2 + 0.4 + 0.8 + 1.5) / 2  # the least pauses, with jitter
    assert len(server.asked["list pods"]) == 5


def test_a_stream_that_says_nothing_is_given_up(
    server: ApiServer, source: KubernetesSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "SILENCE", 0.5)
    changes: list[None] = []
    source.subscribe(lambda: changes.append(None))
    server.items["pods"] = []
    wait_until(lambda: len(server.asked["watch pods"]) > 1)
    wait_until(lambda: not _ids_or_none(source))
    assert len(changes) > 1  # a fault, and its end


def _ids_or_none(source: KubernetesSource) -> set[str] | None:
    try:
        return ids(source)
    except SourceUnavailable:
        return {"away"}


def test_a_missing_right_is_named(server: ApiServer, source: KubernetesSource) -> None:
    server.status["watch endpointslices"] = 403
    with pytest.raises(SourceRefused) as refused:
        source.subscribe(nothing)
    assert "forbids to watch endpointslices in shop" in str(refused.value)
    rule = '{apiGroups: ["discovery.k8s.io"], resources: [endpointslices], verbs: [list, watch]}'
    assert f"Grant {rule} in a Role there, or a ClusterRole" in str(refused.value)
    server.status["list kube-system"] = 403
    with pytest.raises(SourceRefused, match=r"resources: \[namespaces\], verbs: \[get\]"):
        source.identity()


@pytest.mark.parametrize(("code", "error"), [(401, SourceRefused), (500, SourceUnavailable), (429, SourceUnavailable)])
def test_other_refusals(server: ApiServer, source: KubernetesSource, code: int, error: type[Exception]) -> None:
    server.status["list kube-system"] = code
    with pytest.raises(error, match=r": (\d+ )?no kube-system for you$"):
        source.identity()


def test_a_server_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_kubeconfig(monkeypatch, ApiServer(free_port()).kubeconfig(tmp_path / "kubeconfig"))
    with contextlib.closing(KubernetesSource()) as source:
        with pytest.raises(SourceUnavailable, match="can't be reached"):
            source.identity()
        monkeypatch.setattr("zkdiscovery.bridges.kubernetes.source.SUBSCRIBE_LIMIT", 0.5)
        with pytest.raises(SourceUnavailable, match="can't be reached"):
            source.subscribe(nothing)


def test_closing_ends_streams_that_wait(server: ApiServer, source: KubernetesSource) -> None:
    source.subscribe(nothing)
    threads = [watched_kind._thread for watched_kind in (source._pods, source._services, source._slices)]
    source.close()
    for thread in threads:
        assert thread is not None
        thread.join(5.0)
        assert not thread.is_alive()


def test_without_a_configuration_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "kubernetes.config.KUBE_CONFIG_DEFAULT_LOCATION",
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION",
    ):
        monkeypatch.setattr(name, str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidSettings, match="Set KUBECONFIG, or run in a pod"):
        KubernetesSource()
    with pytest.raises(InvalidSettings, match="no configuration of Kubernetes can be used"):
        KubernetesSource(context="elsewhere")
