"""Each right that the page grants is missing at first: the rule to grant is named, and the end is the same."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.kubernetes.cluster import Cluster
from zkdiscovery import Instance
from zkdiscovery.bridges.kubernetes import ExportingKubernetesSource
from zkdiscovery.bridges.source import SourceRefused

LIMIT = 30.0  # seconds until the API server heeds a Role
WRITING = ("get", "list", "watch", "create", "update", "delete")
RIGHTS = {"pods": ("list", "watch"), "services": WRITING, "endpointslices": WRITING}
GROUPS = {"pods": "", "services": "", "endpointslices": "discovery.k8s.io"}
OURS = ("-l", "kubernetes.io/service-name=payments")

pytestmark = pytest.mark.timeout(120)


def grant(cluster: Cluster, namespace: str, without: tuple[str, str] | None = None) -> None:
    """Grant to the viewer all that a bridge needs, or all but one right."""
    rules = [
        {
            "apiGroups": [GROUPS[plural]],
            "resources": [plural],
            "verbs": [verb for verb in verbs if (plural, verb) != without],
        }
        for plural, verbs in RIGHTS.items()
    ]
    head: dict[str, Any] = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "bridge"}}
    role = {**head, "kind": "Role", "rules": rules}
    binding = {
        **head,
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "bridge"},
        "subjects": [{"kind": "User", "name": "viewer", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    both = {"apiVersion": "v1", "kind": "List", "items": [role, binding]}
    cluster.kubectl("-n", namespace, "apply", "-f", "-", given=both)


def follow_and_export(cluster: Cluster, namespace: str) -> None:
    """Do all that a bridge does, each write among it; two strangers' objects are in the way.

    Raises:
        SourceRefused: a right is missing.
    """
    source = ExportingKubernetesSource(lambda: "abc", namespace)
    with contextlib.closing(source):
        source.subscribe(lambda: None)
        assert source.list().instances == []
        first = {"payments": [Instance("payments", "10.1.0.1", 80)]}
        assert source.export(first) == {}
        (name,) = cluster.kubectl("-n", namespace, "get", "endpointslices", *OURS, "-o", "name").split()
        cluster.kubectl("-n", namespace, "label", name, "zkdiscovery/registry-")
        taken = {"taken": [Instance("taken", "10.1.0.3", 80)]}
        try:
            assert set(source.export({**first, **taken})) == {"payments", "taken"}
        finally:
            cluster.kubectl("-n", namespace, "delete", name)
        assert source.export(first) == {}
        assert source.export({"payments": [Instance("payments", "10.1.0.2", 80)]}) == {}
        assert source.export({"payments": [Instance("payments", "10.1.0.2", 80, ports={"x": 81})]}) == {}
        assert source.export({}) == {}


def within_limit(action: Callable[[], bool]) -> None:
    """Try until it says that it is done: the API server heeds a Role a moment later."""
    end = time.monotonic() + LIMIT
    while not action():
        assert time.monotonic() < end


@pytest.mark.parametrize(("plural", "verb"), [(plural, verb) for plural, verbs in RIGHTS.items() for verb in verbs])
def test_each_right_is_named_and_waited_for(
    cluster: Cluster, kube_namespace: str, monkeypatch: pytest.MonkeyPatch, plural: str, verb: str
) -> None:
    cluster.use(monkeypatch, cluster.viewer)
    monkeypatch.setattr("zkdiscovery.bridges.kubernetes.watched.REFUSED_PAUSE", 0.2)
    cluster.kubectl("-n", kube_namespace, "create", "service", "clusterip", "taken", "--tcp=80")
    foreign = cluster.get(kube_namespace, "services")["items"]
    grant(cluster, kube_namespace, without=(plural, verb))

    def is_named() -> bool:
        with pytest.raises(SourceRefused) as refused:
            follow_and_export(cluster, kube_namespace)
        text = str(refused.value)
        assert "Grant {" in text
        return f"forbids to {verb} {plural} " in text and f"resources: [{plural}], verbs: [" in text

    within_limit(is_named)
    assert foreign[0] in cluster.get(kube_namespace, "services")["items"]
    grant(cluster, kube_namespace)

    def is_done() -> bool:
        try:
            follow_and_export(cluster, kube_namespace)
        except SourceRefused:
            return False
        return True

    within_limit(is_done)
    assert cluster.get(kube_namespace, "services")["items"] == foreign
    assert cluster.get(kube_namespace, "endpointslices", *OURS)["items"] == []
