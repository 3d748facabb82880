"""A real Kubernetes; scripts/build_kubernetes.sh builds it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.interop.kubernetes.cluster import Cluster
from tests.interop.kubernetes.following import Following


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One Kubernetes for all tests."""
    with contextlib.closing(Cluster(tmp_path_factory.mktemp("kubernetes") / "state")) as cluster:
        yield cluster


@pytest.fixture
def kube_namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of Kubernetes that no other test uses."""
    with cluster.namespace() as name:
        yield name


@pytest.fixture
def following(cluster: Cluster, kube_namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Following]:
    """A source that follows the namespace of the test."""
    cluster.use(monkeypatch)
    with contextlib.closing(Following(kube_namespace)) as following:
        yield following
