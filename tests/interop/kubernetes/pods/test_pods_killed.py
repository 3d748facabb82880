"""Our image as real containers: scaled, and killed with -9. What is dead is gone at once, and its address is free."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.interop.docker.following import Callers
from tests.interop.kubernetes.pods.conftest import Follow
from tests.interop.kubernetes.pods.manifests import container, pod
from tests.interop.kubernetes.pods.node import Node
from tests.interop.kubernetes.pods.reports import Reports
from tests.interop.kubernetes.pods.waiting import PATIENCE, wait_up
from tests.support import LIMIT, Truth, wait_until, wait_view
from zkdiscovery import Client, Service

pytestmark = [pytest.mark.timeout(600), pytest.mark.short]


def path(service: str, id: str) -> str:
    """The node of an instance."""
    return f"/shop/services/{service}/{id}"


def test_what_is_scaled_is_registered_by_itself(node: Node, payments: Service) -> None:
    node.type("scale deployment/payments --replicas=5")
    wait_up(payments, 5)
    pods = {pod["status"]["podIP"]: pod["metadata"] for pod in node.pods("payments")}
    assert {each.host for each in payments.snapshot} == set(pods)
    for instance in payments.snapshot:
        about = pods[instance.host]
        assert instance.id == f"{about['name']}@{instance.host}:8080"
        assert instance.runtime == f"{about['uid']}/payments"
        assert instance.zone == "zone-1"
    node.type("scale deployment/payments --replicas=2")
    wait_view(payments, lambda snapshot: len(snapshot) == 2, PATIENCE)
    assert not payments.snapshot.suspects, "they deregistered"


def test_a_container_that_is_killed_takes_its_registration_along(
    node: Node, payments: Service, follow: Follow, truth: Truth
) -> None:
    follow()
    victim = node.pods("payments")[0]
    name, address = victim["metadata"]["name"], victim["status"]["podIP"]
    place = path("payments", f"{name}@{address}:8080")
    former = truth.get(place)
    assert former is not None
    with Reports(node) as reports:
        began = time.monotonic()
        os.kill(node.process(victim), signal.SIGKILL)
        truth.wait(place, lambda found: found is None or found.stat.czxid != former.stat.czxid, PATIENCE)
        gone = time.monotonic()
        reported, end = reports.wait_end(name)
        # Kubernetes starts it again in its pod, so with the same id. What the former run has left in the volume of the
        # pod must not make it ready.
        truth.wait(place, lambda found: found is not None and found.stat.czxid != former.stat.czxid, PATIENCE)
        registered = time.monotonic()
        wait_up(payments, 3)
        (status,) = node.pod(name)["status"]["containerStatuses"]
        assert reports.wait_ready(status["containerID"]) > registered
    assert {each.host for each in payments.snapshot} == {each["status"]["podIP"] for each in node.pods("payments")}
    assert end["exitCode"] == 128 + signal.SIGKILL
    print(f"gone {gone - reported:.2f} s after the API's report, {gone - began:.2f} s after the kill")
    assert gone - reported < 1.0


def test_the_next_owner_of_an_address_is_never_called_by_the_former_name(
    node: Node, client: Client, follow: Follow, truth: Truth
) -> None:
    follow()
    node.apply(pod("steady"), pod("doomed"))
    doomed, _ = node.wait_pod("doomed"), node.wait_pod("steady")
    address = doomed["status"]["podIP"]
    place = path("payments", f"doomed@{address}:8080")
    try:
        with Reports(node) as reports, Callers(client, 50, "payments", word=-1) as callers:
            callers.wait_answers("doomed", 5)
            began = time.monotonic()
            os.kill(node.process(doomed), signal.SIGKILL)
            truth.wait(place, lambda found: found is None, PATIENCE)
            gone = time.monotonic()
            reported, _ = reports.wait_end("doomed")
            print(f"gone {gone - reported:.2f} s after the API's report, {gone - began:.2f} s after the kill")
            assert gone - reported < 1.0
            node.give_next(address)
            node.apply(pod("other", container("payments", "other")))
            assert node.wait_pod("other")["status"]["podIP"] == address
            callers.wait_answers("steady", 50)
        assert [each.host for each in client.discover("other").wait_ready(LIMIT).snapshot] == [address]
        assert set(callers.answers) == {"steady", "doomed"}
        assert not callers.counts["failed"], callers.errors
    finally:
        node.remove("pods steady doomed other")
    wait_until(lambda: not client.instances("payments"), PATIENCE)
