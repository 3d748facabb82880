"""A real Kubernetes with real containers, ZooKeeper and our image among them; `make interop-pods` builds all of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from tests.integration.bridges.engines import Running
from tests.interop.kubernetes.pods.node import MANIFESTS, NAMESPACE, Node
from tests.interop.kubernetes.pods.waiting import wait_none
from tests.support import Truth, wait_view
from zkdiscovery import Client, Service
from zkdiscovery.bridges.kubernetes import KubernetesSource

SERVERS = 3  # of ZooKeeper

Follow = Callable[[], Running]


@pytest.fixture(scope="session", autouse=True)
def _isolated() -> None:
    if os.environ.get("ZKDISCOVERY_ISOLATED") != "1":
        pytest.exit("these tests start containers: run `make interop-pods`, or scripts/isolated.sh", 1)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One Kubernetes for all tests."""
    with contextlib.closing(Node(tmp_path_factory.mktemp("node") / "state")) as node:
        yield node


@pytest.fixture(scope="session")
def _zookeeper(node: Node) -> None:
    """The ensemble of the committed manifest."""
    node.make_volumes(SERVERS)
    node.type(f"apply -f {MANIFESTS / 'zookeeper.yaml'}")
    node.wait_rolled("statefulset/zookeeper")


@pytest.fixture
def hosts(node: Node, _zookeeper: None) -> str:
    """The servers of ZooKeeper, for those outside of pods."""
    return ",".join(f"{pod['status']['podIP']}:2181" for pod in node.pods("zookeeper"))


@pytest.fixture
def client(hosts: str) -> Iterator[Client]:
    """A client outside of the pods, in the namespace of the example."""
    with Client(hosts, namespace="/shop") as client:
        yield client


@pytest.fixture
def truth(hosts: str) -> Iterator[Truth]:
    """ZooKeeper behind the SDK's back."""
    with Truth(hosts) as view:
        yield view


@pytest.fixture
def payments(node: Node, client: Client) -> Iterator[Service]:
    """The service of the committed manifest, with 3 pods, for the time of a test."""
    view = client.discover("payments")
    node.type(f"apply -f {MANIFESTS / 'payments.yaml'}")
    node.wait_rolled("deployment/payments")
    wait_view(view, lambda snapshot: len(snapshot) == 3)
    yield view
    node.type(f"delete -f {MANIFESTS / 'payments.yaml'} --ignore-not-found")
    wait_none(view)


@pytest.fixture
def follow(node: Node, hosts: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Follow]:
    """Starts a bridge of the namespace, which ends after the test."""
    node.use(monkeypatch)
    with contextlib.ExitStack() as stack:

        def start() -> Running:
            client = stack.enter_context(Client(hosts, namespace="/shop"))
            return stack.enter_context(Running(client, KubernetesSource(NAMESPACE)))

        yield start
