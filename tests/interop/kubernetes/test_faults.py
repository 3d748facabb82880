"""Faults of a real Kubernetes: the API server killed, stopped and restarted; rights that are missing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.interop.kubernetes.cluster import Cluster, workload
from tests.interop.kubernetes.following import Following, counts
from zkdiscovery.bridges.kubernetes import ExportingKubernetesSource, KubernetesSource
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.model import Instance

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "kubernetes.md"


def nothing() -> None:
    """Do nothing about a change."""


def test_the_api_server_is_killed_and_starts_again(cluster: Cluster, kube_namespace: str, following: Following) -> None:
    """Every version of before is too old for the new one, which answers 410."""
    at = ("-n", kube_namespace)
    cluster.kubectl(*at, "apply", "-f", "-", given=workload("web", 2))
    following.wait_statuses("web", UP=2)
    known = following.listing
    command = cluster.kill_api_server()
    following.wait(lambda _: following.faults)
    assert all(isinstance(fault, SourceUnavailable) for fault in following.faults)
    assert following.listing == known
    cluster.start_api_server(command)
    begin = time.monotonic()
    cluster.kubectl(*at, "scale", "deployment/web", "--replicas=4")
    following.wait_statuses("web", UP=4)
    print(f"\nthe truth {time.monotonic() - begin:.1f} s after the API server was back")


@pytest.mark.timeout(180)
def test_an_api_server_that_stands_still_is_noticed(
    cluster: Cluster, kube_namespace: str, following: Following
) -> None:
    """As behind a connection that is half open: nothing comes, and nothing is refused."""
    at = ("-n", kube_namespace)
    cluster.kubectl(*at, "apply", "-f", "-", given=workload("web", 2))
    following.wait_statuses("web", UP=2)
    pid = cluster.pid("kube-apiserver")
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    try:
        following.wait(lambda _: following.faults, 40)
    finally:
        os.kill(pid, signal.SIGCONT)
    took = time.monotonic() - begin
    print(f"\na connection that says nothing was noticed after {took:.1f} s")
    assert took < 30
    cluster.kubectl(*at, "scale", "deployment/web", "--replicas=3")
    following.wait_statuses("web", UP=3)


def test_a_right_that_is_missing_is_named_and_waited_for(
    cluster: Cluster, kube_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.use(monkeypatch, cluster.viewer)
    monkeypatch.setattr("zkdiscovery.bridges.kubernetes.watched.REFUSED_PAUSE", 1.0)
    source = KubernetesSource(kube_namespace)
    with contextlib.closing(source):
        with pytest.raises(SourceRefused, match=r"verbs: \[get\]"):
            source.identity()
        with pytest.raises(SourceRefused) as refused:
            source.subscribe(nothing)
        rule = re.search(
            r'Grant \{apiGroups: \["(.*)"\], resources: \[(.*)\], verbs: \[list, watch\]\}', str(refused.value)
        )
        assert rule is not None
        at = ("-n", kube_namespace)
        cluster.kubectl(
            *at,
            "create",
            "role",
            "follow",
            "--verb=list,watch",
            "--resource=pods,services,endpointslices.discovery.k8s.io",
        )
        cluster.kubectl(*at, "create", "rolebinding", "follow", "--role=follow", "--user=viewer")
        end = time.monotonic() + 30
        while True:
            try:
                source.subscribe(nothing)
                break
            except SourceRefused:
                assert time.monotonic() < end
        assert source.list().instances == []


def test_the_rights_of_the_page_are_enough(
    cluster: Cluster, kube_namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = re.search(r'```yaml title="bridge.yaml"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert text is not None
    manifest = tmp_path / "bridge.yaml"
    manifest.write_text(text[1].replace("namespace: shop", f"namespace: {kube_namespace}"))
    at = ("-n", kube_namespace)
    cluster.kubectl(*at, "apply", "--dry-run=server", "-f", str(manifest))
    cluster.kubectl(*at, "apply", "-f", str(manifest))
    cluster.kubectl(*at, "apply", "-f", "-", given=workload("web", 1))
    token = cluster.kubectl(*at, "create", "token", "zkdiscovery-bridge").strip()
    cluster.use(monkeypatch, cluster.kubeconfig_of(token, tmp_path / "kubeconfig"))
    source = ExportingKubernetesSource(lambda: "abc", kube_namespace)
    with contextlib.closing(source):
        assert source.identity().endswith(f".{kube_namespace}")
        source.subscribe(nothing)
        assert counts(source.list(), "web") in ({}, {"UP": 1}, {"DOWN": 1})
        assert source.export({"payments": [Instance("payments", "10.1.0.1", 80)]}) == {}
        assert source.export({"payments": [Instance("payments", "10.1.0.2", 80, ports={"x": 81})]}) == {}
        assert source.export({}) == {}
    cluster.kubectl("delete", "clusterrole,clusterrolebinding", "zkdiscovery-bridge-identity")


def test_two_clusters_are_told_apart_and_two_namespaces_too(
    cluster: Cluster, kube_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.use(monkeypatch)
    uid = cluster.core.read_namespace("kube-system").metadata.uid
    assert KubernetesSource(kube_namespace).identity() == f"{uid}.{kube_namespace}"
    assert KubernetesSource().identity() == f"{uid}.default"
    assert KubernetesSource(all_namespaces=True).identity() == uid
