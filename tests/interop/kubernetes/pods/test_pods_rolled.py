"""The commands of the example's page, on real containers: applied, scaled, rolled under load, deleted."""

from __future__ import annotations

import os
import re
import time

import pytest

from tests.interop.docker.following import Callers
from tests.interop.kubernetes.pods.node import MANIFESTS, NAMESPACE, Node
from tests.interop.kubernetes.pods.waiting import PATIENCE, wait_up
from tests.support import Recorder, wait_view
from zkdiscovery import Change, Client, Service, Status

ROLLS = int(os.environ.get("ROLLS", "5"))
RATE = float(os.environ.get("RATE", "300"))  # calls in a second

pytestmark = pytest.mark.timeout(1200)


def test_zookeeper_is_an_ensemble_of_three(node: Node, hosts: str) -> None:
    assert len(hosts.split(",")) == 3
    exec_in, ask = ("-n", NAMESPACE, "exec"), "exec 3<>/dev/tcp/127.0.0.1/2181 && echo srvr >&3 && cat <&3"
    for name in ("zookeeper-1", "zookeeper-2", "zookeeper-3"):
        said = node.kubectl(*exec_in, name, "--", "bash", "-c", ask)
        assert re.search(r"^Mode: (leader|follower)$", said, re.MULTILINE)


def test_a_server_of_zookeeper_with_a_new_address_is_found_again(node: Node, payments: Service) -> None:
    """Nobody who is registered notices."""
    changes: Recorder[Change] = Recorder()
    payments.on_change(changes)
    known = len(changes.wait(lambda items: len(items) > 0))
    former = node.pod("zookeeper-2")["status"]["podIP"]
    node.type("delete pod zookeeper-2")
    node.wait_rolled("statefulset/zookeeper")
    assert node.pod("zookeeper-2")["status"]["podIP"] != former
    assert [each.status for each in payments.snapshot] == [Status.UP] * 3
    assert not any(change.delta for change in changes.items[known:])


def test_the_command_line_in_a_pod(node: Node, payments: Service) -> None:
    """Where the root is read-only, by a user who has no name."""
    said = node.type("exec deployment/payments -- zkdiscovery instances payments")
    assert all(instance.host in said for instance in payments.snapshot)


def test_rolled_under_load_and_no_call_is_lost(node: Node, client: Client, payments: Service) -> None:
    node.type("scale deployment/payments --replicas=5")
    wait_up(payments, 5)
    rates = []
    with Callers(client, RATE, "payments", threads=8, word=-1) as callers:
        for number in range(ROLLS):
            before = {pod["metadata"]["name"] for pod in node.pods("payments")}
            began, calls = time.monotonic(), callers.counts.total()
            node.type("rollout restart deployment/payments")
            node.wait_rolled("deployment/payments")
            wait_view(
                payments,
                lambda snapshot, before=before: (  # type: ignore[misc]
                    [each.status for each in snapshot] == [Status.UP] * 5
                    and before.isdisjoint(each.id.partition("@")[0] for each in snapshot)
                ),
                PATIENCE,
            )
            took = time.monotonic() - began
            rates.append((callers.counts.total() - calls) / took)
            print(f"roll {number + 1}: {took:.1f} s, {rates[-1]:.0f} calls a second")
            assert not payments.snapshot.suspects
        callers.wait_answers(next(iter(node.pods("payments")))["metadata"]["name"])
    assert callers.counts["failed"] == 0, callers.errors
    if min(rates) > 0.9 * RATE:  # a machine that can't keep the rate lets callers wait for longer than the drain delay
        assert callers.counts["retried"] == 0, callers.attempts


def test_what_is_deleted_deregisters(node: Node, payments: Service) -> None:
    seen: Recorder[Change] = Recorder()
    payments.on_change(seen)
    node.type(f"delete -f {MANIFESTS / 'payments.yaml'}")
    seen.wait(lambda items: any(change.before.instances and not change.after.instances for change in items), PATIENCE)
    assert not payments.snapshot.suspects
    for instance in {new.id for change in seen.items for _, new in change.delta.values() if new is not None}:
        states = [change.delta[instance][1] for change in seen.items if instance in change.delta]
        assert [None if each is None else each.status for each in states][-2:] == [Status.DRAINING, None]
