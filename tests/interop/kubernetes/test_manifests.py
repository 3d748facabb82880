"""The API server accepts every manifest that we show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.kubernetes.cluster import Cluster

FOLDER = Path(__file__).parents[3] / "examples" / "containers" / "kubernetes"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.yaml")))
def test_the_api_server_accepts_it(cluster: Cluster, kube_namespace: str, name: str) -> None:
    cluster.kubectl("-n", kube_namespace, "apply", "--dry-run=server", "-f", str(FOLDER / name))
