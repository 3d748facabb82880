"""Pods that are hard to tell apart: what dies in one of them takes nobody else's registration along."""

from __future__ import annotations

import os
import signal

import pytest

from tests.interop.kubernetes.pods.conftest import Follow
from tests.interop.kubernetes.pods.manifests import Json, container, pod
from tests.interop.kubernetes.pods.node import Node
from tests.interop.kubernetes.pods.reports import Reports
from tests.interop.kubernetes.pods.waiting import PATIENCE
from tests.support import Truth, wait_until
from zkdiscovery import Client, Instance, Status

SERVICE = "alike"

pytestmark = pytest.mark.timeout(600)


def registered(client: Client) -> dict[str, Instance]:
    """The instances that registered themselves, by id."""
    return {each.id: each for each in client.instances(SERVICE) if each.source is None}


def created(truth: Truth, ids: list[str]) -> dict[str, int]:
    """The transactions that created these instances: another one is there if it was removed and came back."""
    nodes = {key: truth.get(f"/shop/services/{SERVICE}/{key}") for key in ids}
    return {key: node.stat.czxid for key, node in nodes.items() if node is not None}


def check_only_the_dead_one_goes(
    node: Node, client: Client, truth: Truth, pods: list[Json], names: list[tuple[str, str]]
) -> None:
    """Kill the first of these containers, named by pod and container. The entries of the others stay as they are."""
    node.apply(*pods)
    try:
        for each in pods:
            node.wait_pod(each["metadata"]["name"])
        wait_until(lambda: [each.status for each in registered(client).values()] == [Status.UP] * len(names), PATIENCE)
        runs = {each.runtime: key for key, each in registered(client).items()}
        ids = [runs[f"{node.pod(name)['metadata']['uid']}/{within}"] for name, within in names]
        before = created(truth, ids)
        (victim, within), others = names[0], ids[1:]
        with Reports(node) as reports:
            os.kill(node.process(node.pod(victim), within), signal.SIGKILL)
            reports.wait_end(victim, within)
            wait_until(lambda: ids[0] not in registered(client), PATIENCE)
        assert created(truth, others) == {key: before[key] for key in others}
        assert set(registered(client)) == set(others)
    finally:
        node.remove(" ".join(["pods", *(each["metadata"]["name"] for each in pods)]))
    wait_until(lambda: not registered(client), PATIENCE)


def test_two_containers_in_a_pod(node: Node, client: Client, truth: Truth, follow: Follow) -> None:
    follow()
    pods = [pod("both", container("one", SERVICE), container("two", SERVICE, 8081))]
    check_only_the_dead_one_goes(node, client, truth, pods, [("both", "one"), ("both", "two")])


def test_pods_with_equal_host_names(node: Node, client: Client, truth: Truth, follow: Follow) -> None:
    follow()
    pods = [pod(name, container("main", SERVICE), hostname="same") for name in ("here", "there")]
    check_only_the_dead_one_goes(node, client, truth, pods, [("here", "main"), ("there", "main")])


def test_pods_in_the_network_of_their_node(node: Node, client: Client, truth: Truth, follow: Follow) -> None:
    """They have one address and one host name: that of the node."""
    follow()
    own = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    pods = [pod(name, container("main", SERVICE, port), **own) for name, port in (("here", 8081), ("there", 8082))]
    check_only_the_dead_one_goes(node, client, truth, pods, [("here", "main"), ("there", "main")])


def test_the_next_run_of_a_container_keeps_its_entry(node: Node, client: Client, truth: Truth, follow: Follow) -> None:
    """It has the pod, the name and the id of the run that died."""
    follow()
    node.apply(
        pod("again", container("main", SERVICE), restartPolicy="Always"), pod("marker", container("main", SERVICE))
    )
    try:
        again, marker = node.wait_pod("again"), node.wait_pod("marker")
        ids = {each.host: key for key, each in registered(client).items()}
        own, last = (ids[each["status"]["podIP"]] for each in (again, marker))
        former = created(truth, [own])
        os.kill(node.process(again, "main"), signal.SIGKILL)
        wait_until(lambda: created(truth, [own]) not in ({}, former), PATIENCE)
        wait_until(lambda: [each.status for each in registered(client).values()] == [Status.UP] * 2, PATIENCE)
        back = created(truth, [own])
        os.kill(node.process(marker, "main"), signal.SIGKILL)
        wait_until(lambda: last not in registered(client), PATIENCE)  # the bridge has seen both deaths
        assert created(truth, [own]) == back
    finally:
        node.remove("pods again marker")
    wait_until(lambda: not registered(client), PATIENCE)
