"""The bridge as the page runs it: two replicas in pods, with the rights and the account of its manifest."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.interop.kubernetes.pods.node import ROOT, Node
from tests.interop.kubernetes.pods.test_pods_ready import unaware
from tests.interop.kubernetes.pods.waiting import PATIENCE, wait_none, wait_up
from tests.support import wait_until
from zkdiscovery import Client

PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"

pytestmark = pytest.mark.timeout(600)


def manifest_of_page(api: str, hosts: str) -> list[Any]:
    """The page's manifest, in the network of the node, which has no proxy of Services, to reach the API server."""
    text = re.search(r'```yaml title="bridge.yaml"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert text is not None
    objects = list(yaml.safe_load_all(text[1]))
    spec = next(each for each in objects if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    spec["hostNetwork"] = True
    where = urllib.parse.urlsplit(api)
    (container,) = spec["containers"]
    container["env"] = [
        {"name": "KUBERNETES_SERVICE_HOST", "value": where.hostname},
        {"name": "KUBERNETES_SERVICE_PORT", "value": str(where.port)},
        {"name": "ZKDISCOVERY_HOSTS", "value": hosts},
        {"name": "ZKDISCOVERY_NAMESPACE", "value": "/shop"},
    ]
    return objects


@pytest.fixture
def _bridges(node: Node, hosts: str) -> Iterator[None]:
    node.apply(*manifest_of_page(node.api.configuration.host, hosts))
    node.wait_rolled("deployment/zkdiscovery-bridge")
    yield
    node.remove("deployment,role,rolebinding,serviceaccount zkdiscovery-bridge")
    node.kubectl("delete", "clusterrole,clusterrolebinding", "zkdiscovery-bridge-identity")


@pytest.mark.usefixtures("_bridges")
def test_it_follows_and_exports_and_another_one_takes_over(node: Node, client: Client) -> None:
    view = client.discover("web")
    node.apply(*unaware("web"))
    own = client.register("ledger", 8080, host="10.9.0.1", id="own").wait_registered(PATIENCE)
    try:
        wait_up(view, 2)
        wait_until(lambda: exported(node, "ledger") == ["10.9.0.1"], PATIENCE)
        for count in (3, 1):  # each of the two was the leader once, or its end changed nothing
            bridge = node.pods("zkdiscovery-bridge")[0]["metadata"]["name"]
            node.type(f"delete pod {bridge} --grace-period=0 --force")
            node.type(f"scale deployment/web --replicas={count}")
            wait_up(view, count)
            node.wait_rolled("deployment/zkdiscovery-bridge")
        assert own.error is None
    finally:
        own.close()
        node.remove("deployment,service web")
    wait_none(view)
    wait_until(lambda: exported(node, "ledger") == [], PATIENCE)


def exported(node: Node, service: str) -> list[str]:
    """The addresses of a Service."""
    found = json.loads(node.type(f"get endpointslices -l kubernetes.io/service-name={service} -o json"))["items"]
    return sorted(endpoint["addresses"][0] for piece in found for endpoint in piece["endpoints"] or ())
