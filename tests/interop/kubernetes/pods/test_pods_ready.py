"""A program that hangs, and a readiness probe that fails: nobody calls them until they are well again."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.interop.kubernetes.pods.conftest import Follow
from tests.interop.kubernetes.pods.manifests import of_example
from tests.interop.kubernetes.pods.node import Node, Pod
from tests.interop.kubernetes.pods.waiting import PATIENCE, wait_none, wait_up
from tests.support import wait_until, wait_view
from zkdiscovery import Client, Service, Status

pytestmark = pytest.mark.timeout(600)


def ready(pod: Pod) -> bool:
    """Does Kubernetes count it as ready?"""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"]["conditions"])


def test_a_program_that_hangs_is_down_and_not_ready(node: Node, payments: Service) -> None:
    sick = node.pods("payments")[0]
    name = sick["metadata"]["name"]
    program = node.program(sick)
    os.kill(program, signal.SIGSTOP)
    try:
        snapshot = wait_view(payments, lambda snapshot: any(each.status is Status.DOWN for each in snapshot), PATIENCE)
        assert {each.host: each.status for each in snapshot}[sick["status"]["podIP"]] is Status.DOWN
        assert sum(each.status is Status.UP for each in snapshot) == 2
        wait_until(lambda: not ready(node.pod(name)), PATIENCE)
    finally:
        os.kill(program, signal.SIGCONT)
    wait_up(payments, 3)
    wait_until(lambda: ready(node.pod(name)), PATIENCE)


def test_pods_that_know_nothing_of_us_are_followed(node: Node, client: Client, follow: Follow) -> None:
    """What the kubelet probes, Kubernetes puts into EndpointSlices, and the bridge into ZooKeeper."""
    follow()
    view = client.discover("web")
    node.apply(*unaware("web"))
    try:
        wait_up(view, 2)
        assert {each.host for each in view.snapshot} == {pod["status"]["podIP"] for pod in node.pods("web")}
        sick = node.pods("web")[0]
        exec_in = f"exec {sick['metadata']['name']} --"
        node.type(f"{exec_in} rm /tmp/serving")
        wait_view(view, lambda snapshot: any(each.status is Status.DOWN for each in snapshot), PATIENCE)
        assert {each.host: each.status for each in view.snapshot}[sick["status"]["podIP"]] is Status.DOWN
        node.type(f"{exec_in} touch /tmp/serving")
        wait_up(view, 2)
        node.type("scale deployment/web --replicas=4")
        wait_up(view, 4)
    finally:
        node.remove("deployment,service web")
    wait_none(view)


def unaware(name: str) -> list[Any]:
    """The example, but for its command, which does not register it, and for what its readiness depends on."""
    service, deployment = of_example("Service"), of_example("Deployment")
    for each in (service, deployment):
        each["metadata"] = {"name": name}
    service["spec"]["selector"] = {"app": name}
    spec = deployment["spec"]
    spec["replicas"], spec["selector"]["matchLabels"] = 2, {"app": name}
    spec["template"]["metadata"]["labels"] = {"app": name}
    (container,) = spec["template"]["spec"]["containers"]
    container["command"] = ["sh", "-c", "touch /tmp/serving && exec python -u payments.py"]
    probe = container["readinessProbe"]
    probe["exec"]["command"], probe["failureThreshold"] = ["test", "-e", "/tmp/serving"], 1
    return [service, deployment]
