"""A real Kubernetes; scripts/build_kubernetes.sh builds it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.interop.kubernetes.cluster import Cluster
from tests.interop.kubernetes.following import Following
from zkdiscovery.testing import ZookeeperServer

StartBridge = Callable[..., subprocess.Popen[bytes]]


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


@pytest.fixture
def start_bridge(
    cluster: Cluster, kube_namespace: str, zkdiscovery_server: ZookeeperServer, namespace: str
) -> Iterator[StartBridge]:
    """Starts bridges of the namespaces of the test, in both directions; of another cluster if one is given."""
    command = [sys.executable, "-m", "zkdiscovery", "bridge", "kubernetes", "-n", kube_namespace, "--export"]
    environment = {
        **os.environ,
        "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts,
        "ZKDISCOVERY_NAMESPACE": namespace,
    }
    with contextlib.ExitStack() as stack:

        def start(of: Cluster = cluster) -> subprocess.Popen[bytes]:
            process = stack.enter_context(
                subprocess.Popen(command, env={**environment, "KUBECONFIG": str(of.kubeconfig)})
            )
            stack.callback(process.kill)
            return process

        yield start
