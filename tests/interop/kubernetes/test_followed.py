"""The pods of a real Kubernetes are followed: scaled, rolled, not ready, deleted."""

from __future__ import annotations

from tests.interop.kubernetes.cluster import Cluster, workload
from tests.interop.kubernetes.following import Following, counts, of
from zkdiscovery.model import Status


def test_a_deployment_is_followed_through_scale_roll_and_delete(
    cluster: Cluster, kube_namespace: str, following: Following
) -> None:
    at = ("-n", kube_namespace)
    cluster.kubectl(*at, "apply", "-f", "-", given=workload("web"))
    instances = following.wait_statuses("web", UP=3)
    pods = {pod.metadata.uid: pod for pod in cluster.core.list_namespaced_pod(kube_namespace).items}
    assert {instance.object_id for instance in instances} == set(pods)
    for instance in instances:
        pod = pods[instance.object_id]
        assert (instance.address, instance.port) == (pod.status.pod_ip, 8080)
        assert instance.ports == {"http": 8080, "metrics": 9100}
        assert instance.zone == pod.spec.node_name.replace("node", "zone")
        assert instance.version == "1.2"
        assert instance.runtime == pod.metadata.uid
        assert instance.metadata == {
            "kubernetes.namespace": kube_namespace,
            "kubernetes.pod": pod.metadata.name,
            "kubernetes.node": pod.spec.node_name,
        }

    cluster.kubectl(*at, "scale", "deployment/web", "--replicas=5")
    following.wait_statuses("web", UP=5)
    cluster.kubectl(*at, "scale", "deployment/web", "--replicas=2")
    following.wait_statuses("web", UP=2)
    assert any(counts(listing, "web").get("DRAINING") for listing in following.listings)

    before = {instance.object_id for instance in of(following.listing, "web")}
    cluster.kubectl(*at, "rollout", "restart", "deployment/web")
    following.wait(
        lambda listing: (
            counts(listing, "web") == {"UP": 2}
            and before.isdisjoint(instance.object_id for instance in of(listing, "web"))
        )
    )
    assert all(counts(listing, "web").get("UP") for listing in following.listings[-10:])
    assert before <= {death.runtime for death in following.listing.deaths}

    cluster.kubectl(*at, "delete", "deployment/web", "service/web")
    following.wait_statuses("web")


def test_readiness_decides_between_up_and_down(cluster: Cluster, kube_namespace: str, following: Following) -> None:
    at = ("-n", kube_namespace)
    cluster.kubectl(*at, "apply", "-f", "-", given=workload("web", 2))
    one, _ = following.wait_statuses("web", UP=2)
    pod = f"pod/{one.metadata['kubernetes.pod']}"
    cluster.kubectl(*at, "annotate", pod, "ready=false")
    following.wait_statuses("web", UP=1, DOWN=1)
    assert [it.object_id for it in following.listing.instances if it.status is Status.DOWN] == [one.object_id]
    cluster.kubectl(*at, "annotate", pod, "ready-")
    following.wait_statuses("web", UP=2)


def test_a_pod_that_terminates_drains_at_once(cluster: Cluster, kube_namespace: str, following: Following) -> None:
    at = ("-n", kube_namespace)
    cluster.kubectl(*at, "apply", "-f", "-", given=workload("web", 1, **{"gone-after": "3s"}))
    (one,) = following.wait_statuses("web", UP=1)
    cluster.kubectl(*at, "delete", "pod", one.metadata["kubernetes.pod"], "--wait=false")
    statuses = following.wait(
        lambda listing: {it.object_id: it.status for it in of(listing, "web")}.get(one.object_id) is not Status.UP
    )
    assert {it.object_id: it.status for it in statuses.instances}[one.object_id] is Status.DRAINING
    following.wait(lambda listing: one.object_id not in {it.object_id for it in listing.instances})
