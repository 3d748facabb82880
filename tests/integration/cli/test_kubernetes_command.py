"""`zkdiscovery bridge kubernetes`, beside an API server that does as the test says."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.cli.conftest import Running
from tests.support import LIMIT, wait_until
from tests.unit.bridges.api_server import api_server
from tests.unit.bridges.test_kubernetes_listing import endpoint, piece, pod, service
from tests.unit.bridges.test_kubernetes_streams import with_uid, with_version


def test_it_follows_and_ends_in_order(
    start: Callable[..., Running], make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    with api_server() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
        server.items["services"] = [with_uid(service(), "s")]
        server.items["endpointslices"] = [with_uid(piece(endpoint("10.0.0.1", "a")), "e")]
        server.items["pods"] = [with_version(pod("a", "10.0.0.1"))]
        command = start("bridge", "kubernetes")
        wait_until(lambda: [instance.host for instance in client.instances("web")] == ["10.0.0.1"], 2 * LIMIT)
        command.message("following kubernetes-", "namespace shop")
        assert command.end(signal.SIGTERM) == 128 + signal.SIGTERM
    assert len(client.instances("web")) == 1  # it outlives the bridge of a cluster


def test_one_namespace_or_all(run: Callable[..., Any]) -> None:
    refused = run("bridge", "kubernetes", "-A", "-n", "shop")
    assert refused.code == 2
    assert "--all-namespaces" in refused.err


def test_without_a_configuration_it_says_what_to_do(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for module in ("kubernetes.config", "kubernetes.config.kube_config"):
        monkeypatch.setattr(f"{module}.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere/kubeconfig")
    refused = run("bridge", "kubernetes")
    assert refused.code != 0
    assert "no configuration of Kubernetes can be used" in f"{refused.err}{refused.out}"
