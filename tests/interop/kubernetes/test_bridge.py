"""The whole bridge, as a process between a real Kubernetes and a real ZooKeeper."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from typing import Any

import pytest
from kubernetes import client

from tests.conftest import MakeClient
from tests.interop.kubernetes.cluster import Cluster, workload
from tests.interop.kubernetes.conftest import StartBridge
from tests.support import wait_until
from zkdiscovery import Client, Status

LIMIT = 60.0  # seconds
SOON = 2.0  # seconds in which a change is exported
CHANGES = 50

pytestmark = pytest.mark.timeout(300)


def registered(client: Client, service: str) -> dict[str, Status]:
    """The status of each pod that is registered, by UID."""
    return {each.id.split(":")[1]: each.status for each in client.instances(service) if each.source}


def endpoints(cluster: Cluster, namespace: str, service: str) -> list[Any]:
    """The endpoints of a Service, as Kubernetes has them."""
    slices = client.DiscoveryV1Api(cluster.api).list_namespaced_endpoint_slice(
        namespace, label_selector=f"kubernetes.io/service-name={service}"
    )
    return [endpoint for piece in slices.items for endpoint in piece.endpoints or ()]


def exported(cluster: Cluster, namespace: str, service: str = "payments") -> dict[str, bool]:
    """Whether each address of an exported Service is ready."""
    found = endpoints(cluster, namespace, service)
    return {endpoint.addresses[0]: endpoint.conditions.ready for endpoint in found}


def truth(cluster: Cluster, namespace: str, service: str) -> dict[str, Status]:
    """The status of each pod of a Service, as Kubernetes has it, by UID."""
    return {
        endpoint.target_ref.uid: Status.UP if endpoint.conditions.ready else Status.DOWN
        for endpoint in endpoints(cluster, namespace, service)
    }


def services(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The names of the Services, by UID."""
    found = cluster.core.list_namespaced_service(namespace).items
    return {each.metadata.uid: each.metadata.name for each in found}


class Workloads:
    """Deployments, changed at random."""

    def __init__(self, cluster: Cluster, namespace: str, names: list[str], seed: int) -> None:
        self._cluster, self._namespace, self.names = cluster, namespace, names
        self._chance = random.Random(seed)

    def change(self) -> None:
        """Scale one, delete one of its pods, or toggle its readiness."""
        name = self._chance.choice(self.names)
        pods = self._cluster.core.list_namespaced_pod(self._namespace, label_selector=f"app={name}").items
        kind = self._chance.choice(["scale", "delete", "ready"]) if pods else "scale"
        if kind == "scale":
            spec = {"spec": {"replicas": self._chance.randrange(6)}}
            self._cluster.apps.patch_namespaced_deployment(name, self._namespace, spec)
            return
        pod = self._chance.choice(pods).metadata
        with contextlib.suppress(Exception):  # it may be gone in this moment
            if kind == "delete":
                self._cluster.core.delete_namespaced_pod(pod.name, self._namespace)
            else:
                ready = "false" if (pod.annotations or {}).get("ready") != "false" else "true"
                self._cluster.core.patch_namespaced_pod(
                    pod.name, self._namespace, {"metadata": {"annotations": {"ready": ready}}}
                )


@pytest.mark.parametrize("seed", range(2))
def test_bridges_that_are_killed_amid_changes(
    cluster: Cluster, kube_namespace: str, start_bridge: StartBridge, make_client: MakeClient, seed: int
) -> None:
    """What is not theirs stays: a registration of ours, and a Service of Kubernetes."""
    ours = make_client()
    own = ours.register("payments", 8080, host="10.9.0.1", id="own").wait_registered(5.0)
    workloads = Workloads(cluster, kube_namespace, ["web", "shop", "bank"], seed)
    for name in workloads.names:
        cluster.kubectl("-n", kube_namespace, "apply", "-f", "-", given=workload(name, 2))
    cluster.kubectl("-n", kube_namespace, "create", "service", "clusterip", "foreign", "--tcp=80")
    foreign = cluster.get(kube_namespace, "service", "foreign")
    chance = random.Random(seed)
    bridge = start_bridge()
    for number in range(CHANGES):
        workloads.change()
        if number % 5 == 4:  # it starts, lists, writes or exports, whatever it is at after that time
            time.sleep(chance.random())
            bridge.send_signal(signal.SIGKILL)
            bridge.wait()
            bridge = start_bridge()
    began = time.monotonic()
    for name in workloads.names:
        wait_until(lambda name=name: registered(ours, name) == truth(cluster, kube_namespace, name), LIMIT)  # type: ignore[misc]
    print(f"\nthe truth {time.monotonic() - began:.1f} s after the last change, which had killed a bridge")
    wait_until(lambda: exported(cluster, kube_namespace) == {"10.9.0.1": True}, LIMIT)
    assert own.error is None
    assert cluster.get(kube_namespace, "service", "foreign")["metadata"] == foreign["metadata"]


def test_what_we_register_is_exported_soon(
    cluster: Cluster, kube_namespace: str, start_bridge: StartBridge, make_client: MakeClient
) -> None:
    ours = make_client()
    start_bridge()
    ours.register("other", 8080, host="10.9.0.9", id="first").wait_registered(5.0)
    wait_until(lambda: exported(cluster, kube_namespace, "other") == {"10.9.0.9": True}, LIMIT)  # the bridge leads

    def soon(wanted: dict[str, bool]) -> None:
        began = time.monotonic()
        wait_until(lambda: exported(cluster, kube_namespace) == wanted, LIMIT)
        took.append(round(time.monotonic() - began, 2))

    took: list[float] = []
    own = ours.register("payments", 8080, host="10.9.0.1", id="own").wait_registered(5.0)
    soon({"10.9.0.1": True})
    second = ours.register("payments", 8080, host="10.9.0.2", id="second").wait_registered(5.0)
    soon({"10.9.0.1": True, "10.9.0.2": True})
    own.set_status("DOWN")
    soon({"10.9.0.1": False, "10.9.0.2": True})
    second.close()
    soon({"10.9.0.1": False})
    refused = ours.register("payments", 8080, host="127.0.0.1", id="loopback").wait_registered(5.0)
    own.set_status("UP")
    soon({"10.9.0.1": True})
    refused.close()
    own.close()
    soon({})
    print(f"\nseconds until it was exported: {took}")
    assert max(took) < SOON


def test_what_somebody_deletes_there_is_exported_again(
    cluster: Cluster, kube_namespace: str, start_bridge: StartBridge, make_client: MakeClient
) -> None:
    ours = make_client()
    ours.register("payments", 8080, host="10.9.0.1", id="own").wait_registered(5.0)
    start_bridge()
    start_bridge()
    wait_until(lambda: exported(cluster, kube_namespace) == {"10.9.0.1": True}, LIMIT)
    (uid,) = services(cluster, kube_namespace)
    cluster.kubectl("-n", kube_namespace, "delete", "service", "payments")
    began = time.monotonic()
    wait_until(lambda: services(cluster, kube_namespace).keys() - {uid}, LIMIT)
    wait_until(lambda: exported(cluster, kube_namespace) == {"10.9.0.1": True}, LIMIT)
    print(f"\nexported again after {time.monotonic() - began:.2f} s")
    assert time.monotonic() - began < 10, "the next list on its own account would come after a minute"


def test_the_next_leader_exports_what_went_meanwhile(
    cluster: Cluster, kube_namespace: str, start_bridge: StartBridge, make_client: MakeClient
) -> None:
    ours = make_client()
    ours.register("payments", 8080, host="10.9.0.1", id="own").wait_registered(5.0)
    leader = start_bridge()
    wait_until(lambda: exported(cluster, kube_namespace) == {"10.9.0.1": True}, LIMIT)
    leader.send_signal(signal.SIGSTOP)
    start_bridge()
    ours.register("payments", 8080, host="10.9.0.2", id="second").wait_registered(5.0)
    both = {"10.9.0.1": True, "10.9.0.2": True}
    wait_until(lambda: exported(cluster, kube_namespace) == both, LIMIT)
    leader.send_signal(signal.SIGCONT)
    ours.register("payments", 8080, host="10.9.0.3", id="third").wait_registered(5.0)
    wait_until(lambda: exported(cluster, kube_namespace) == {**both, "10.9.0.3": True}, LIMIT)


def test_two_clusters_never_touch_each_others_entries(
    cluster: Cluster,
    kube_namespace: str,
    start_bridge: StartBridge,
    make_client: MakeClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Namespaces, Services and pods have equal names, and addresses that are equal, too."""
    state = tmp_path_factory.mktemp("other") / "state"
    with contextlib.closing(Cluster(state, NODES="1")) as other:
        other.kubectl("create", "namespace", kube_namespace)
        both, at = (cluster, other), ("-n", kube_namespace)

        def wait_truth() -> None:
            def known() -> dict[str, Status]:
                return truth(cluster, kube_namespace, "web") | truth(other, kube_namespace, "web")

            wait_until(lambda: registered(ours, "web") == known(), LIMIT)

        ours = make_client()
        own = ours.register("payments", 8080, host="10.9.0.1", id="own").wait_registered(5.0)
        for each in both:
            each.kubectl(*at, "apply", "-f", "-", given=workload("web", 2))
            each.kubectl(*at, "rollout", "status", "deployment/web", "--timeout=60s")
        bridge, bridge_of_other = start_bridge(), start_bridge(other)
        wait_truth()
        for each in both:
            wait_until(lambda each=each: exported(each, kube_namespace) == {"10.9.0.1": True}, LIMIT)  # type: ignore[misc]
            assert sorted(services(each, kube_namespace).values()) == ["payments", "web"]
            assert len(endpoints(each, kube_namespace, "web")) == 2, "the other cluster's are not exported here"

        bridge.kill()
        bridge.wait()
        known = truth(cluster, kube_namespace, "web")
        cluster.kubectl(*at, "scale", "deployment/web", "--replicas=0")
        other.kubectl(*at, "scale", "deployment/web", "--replicas=3")
        wait_until(lambda: [*truth(other, kube_namespace, "web").values()] == [Status.UP] * 3, LIMIT)
        wait_until(lambda: registered(ours, "web") == known | truth(other, kube_namespace, "web"), LIMIT)
        bridge_of_other.kill()
        bridge_of_other.wait()
        start_bridge()
        wait_until(lambda: registered(ours, "web") == truth(other, kube_namespace, "web"), LIMIT)
        own.close()
        wait_until(lambda: exported(cluster, kube_namespace) == {}, LIMIT)
        assert exported(other, kube_namespace) == {"10.9.0.1": True}, "its bridge is away"
        start_bridge(other)
        wait_until(lambda: exported(other, kube_namespace) == {}, LIMIT)
