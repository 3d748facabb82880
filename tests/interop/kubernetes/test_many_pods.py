"""A thousand pods in fifty Services: the first list, and how long a change takes to be seen."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from kubernetes import client, watch

from tests.conftest import MakeClient
from tests.integration.bridges.engines import Running
from tests.interop.kubernetes.cluster import Cluster, workload
from tests.interop.kubernetes.following import LIMIT, Following, of
from tests.support import wait_until
from zkdiscovery.bridges.kubernetes import KubernetesSource
from zkdiscovery.bridges.source import Listing
from zkdiscovery.model import Status

SERVICES, PODS = 50, 20
TOGGLES = 50  # pods, each there and back


@pytest.fixture
def many(cluster: Cluster, kube_namespace: str) -> str:
    """A namespace with a thousand pods."""
    items = [item for number in range(SERVICES) for item in workload(f"web-{number}", PODS)["items"]]
    cluster.kubectl(
        "-n", kube_namespace, "apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": items}
    )
    return kube_namespace


def statuses(listing: Listing) -> Counter[Status]:
    return Counter(instance.status for instance in listing.instances)


@pytest.mark.timeout(600)
def test_a_thousand_pods(cluster: Cluster, many: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.use(monkeypatch)
    at = ("-n", many)
    with contextlib.closing(Following(many)) as following:
        following.wait(lambda listing: statuses(listing) == {Status.UP: SERVICES * PODS}, 300)
    begin = time.monotonic()
    with contextlib.closing(Following(many)) as following:
        following.wait(lambda listing: statuses(listing) == {Status.UP: SERVICES * PODS})
        print(f"\nfirst list of {SERVICES * PODS} pods: {time.monotonic() - begin:.2f} s")
        pods = [
            _Toggled(it.service, it.object_id, it.metadata["kubernetes.pod"])
            for it in following.listing.instances[:: SERVICES * PODS // TOGGLES]
        ]

        def wait(service: str, uid: str, wanted: Status) -> None:
            following.wait(lambda now: any(it.object_id == uid and it.status is wanted for it in of(now, service)))

        _toggle(cluster, many, pods, wait, "listed")
        print(f"faults meanwhile: {following.faults}")

        cluster.kubectl(*at, "scale", "deployment", "--all", f"--replicas={PODS // 2}")
        following.wait(lambda listing: statuses(listing) == {Status.UP: SERVICES * PODS // 2}, 120)
        cluster.kubectl(*at, "rollout", "restart", "deployment/web-0", "deployment/web-1")
        before = {it.object_id for it in following.listing.instances if it.service in {"web-0", "web-1"}}
        following.wait(
            lambda listing: (
                before.isdisjoint(it.object_id for it in listing.instances)
                and statuses(listing) == {Status.UP: SERVICES * PODS // 2}
            ),
            120,
        )
        cluster.kubectl(*at, "delete", "deployment,service", "--all")
        following.wait(lambda listing: not listing.instances, 120)
    assert max(_owners(listing) for listing in following.listings) == 1


def _owners(listing: Listing) -> int:
    """The largest number of services under which an address is listed."""
    services: dict[str, set[str]] = {}
    for instance in listing.instances:
        services.setdefault(instance.address, set()).add(instance.service)
    return max(map(len, services.values()), default=1)


@pytest.mark.timeout(900)
def test_the_view_of_a_thousand_pods(
    cluster: Cluster, many: str, monkeypatch: pytest.MonkeyPatch, make_client: MakeClient
) -> None:
    """The whole way: the watch, the list, the write into ZooKeeper, and the view of another client."""
    cluster.use(monkeypatch)
    ours = make_client()
    with Running(make_client(), KubernetesSource(many)):
        views = {f"web-{number}": ours.discover(f"web-{number}") for number in range(SERVICES)}
        wait_until(
            lambda: all([it.status for it in view.instances] == [Status.UP] * PODS for view in views.values()), 300
        )
        known = [instance for view in views.values() for instance in view.instances]
        changed = threading.Event()
        for view in views.values():
            view.on_change(lambda _: changed.set())

        def wait(service: str, uid: str, wanted: Status) -> None:
            end = time.monotonic() + LIMIT
            while not any(f":{uid}:" in it.id and it.status is wanted for it in views[service].instances):
                assert changed.wait(max(0.0, end - time.monotonic())), "waited in vain"
                changed.clear()

        chosen = known[:: len(known) // TOGGLES]
        pods = [_Toggled(it.service, it.id.split(":")[1], it.metadata["kubernetes.pod"]) for it in chosen]
        _toggle(cluster, many, pods, wait, "in the view")


class _Toggled(NamedTuple):
    """A pod, whose readiness is toggled."""

    service: str
    uid: str
    name: str


def _toggle(
    cluster: Cluster, namespace: str, pods: Sequence[_Toggled], wait: Callable[[str, str, Status], object], where: str
) -> None:
    """Print how long it takes from the change of an EndpointSlice until it is seen."""
    seen = _SlicesSeen(cluster, namespace)
    seen.wait_known(SERVICES * PODS)
    took = []
    with contextlib.closing(seen):
        for pod in pods:
            for ready in (False, True):
                annotations = {"ready": "true" if ready else "false"}
                cluster.core.patch_namespaced_pod(pod.name, namespace, {"metadata": {"annotations": annotations}})
                wait(pod.service, pod.uid, Status.UP if ready else Status.DOWN)
                took.append(time.monotonic() - seen.when(pod.uid, ready=ready))
    cuts = statistics.quantiles(took, n=100)
    print(f"\nEndpointSlice changed → {where}: p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms")


class _SlicesSeen:
    """When the official client's own watch saw an endpoint become ready or not."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._times: dict[tuple[str, bool], float] = {}
        self._known: dict[str, bool] = {}  # whether each is ready
        self._changed = threading.Condition()
        self._api = client.DiscoveryV1Api(cluster.api)
        self._watch = watch.Watch()
        self._thread = threading.Thread(target=self._run, args=[namespace], daemon=True)
        self._thread.start()

    def _run(self, namespace: str) -> None:
        with contextlib.suppress(Exception):  # closing breaks the stream
            for event in self._watch.stream(self._api.list_namespaced_endpoint_slice, namespace):
                now = time.monotonic()
                found: Any = event["object"]
                for endpoint in found.endpoints or ():
                    uid, ready = endpoint.target_ref.uid, bool(endpoint.conditions.ready)
                    with self._changed:
                        if self._known.get(uid, ready) is not ready:  # the first state is no change
                            self._times[uid, ready] = now
                        self._known[uid] = ready
                        self._changed.notify_all()

    def wait_known(self, count: int) -> None:
        """Wait until so many endpoints are known."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._known) >= count, 20)

    def when(self, uid: str, *, ready: bool) -> float:
        """The moment, in monotonic seconds."""
        with self._changed:
            assert self._changed.wait_for(lambda: (uid, ready) in self._times, 20)
            return self._times.pop((uid, ready))

    def close(self) -> None:
        self._watch.stop()
        self._thread.join(10)
