"""The SDK in a pod, as the first process of its container: the address, the drain, the end."""

from __future__ import annotations

import signal
import time
import urllib.request
from pathlib import Path

import pytest

from tests.interop.kubernetes.pods.manifests import Json, container, pod
from tests.interop.kubernetes.pods.node import Node
from tests.interop.kubernetes.pods.reports import Reports
from tests.interop.kubernetes.pods.waiting import PATIENCE, wait_none, wait_up
from tests.support import LIMIT, wait_view
from zkdiscovery import Client, Status

PROGRAM = Path(__file__).with_name("own_service.py")
DRAIN_DELAY = 3.0  # seconds, of the program
GRACE = 20  # seconds

pytestmark = pytest.mark.timeout(600)


def objects() -> list[Json]:
    """A pod that runs the program, which a ConfigMap holds."""
    main = container("main", "unused")
    main["command"] = ["python", "-u", f"/program/{PROGRAM.name}"]
    main["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5}
    main["volumeMounts"] = [{"name": "program", "mountPath": "/program"}]
    volumes = [{"name": "program", "configMap": {"name": "program"}}]
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "program"},
            "data": {PROGRAM.name: PROGRAM.read_text()},
        },
        pod("ledger", main, volumes=volumes, terminationGracePeriodSeconds=GRACE),
    ]


def test_it_registers_drains_and_ends_as_the_first_process(node: Node, client: Client) -> None:
    view = client.discover("ledger")
    node.apply(*objects())
    try:
        ledger = node.wait_pod("ledger")
        (instance,) = wait_up(view, 1)
        assert instance.host == ledger["status"]["podIP"]
        assert instance.runtime == f"{ledger['metadata']['uid']}/main"
        assert ask(instance.url) == "process 1"
        with Reports(node) as reports:
            began = time.monotonic()
            node.type("delete pod ledger --wait=false")
            wait_view(view, lambda snapshot: [each.status for each in snapshot] == [Status.DRAINING], PATIENCE)
            drained = time.monotonic()
            assert ask(instance.url) == "process 1"
            wait_none(view)
            gone = time.monotonic()
            ended, how = reports.wait_end("ledger", "main")
        times = ", ".join(f"{moment - began:.2f} s" for moment in (drained, gone, ended))
        print(f"DRAINING, gone and ended after {times}")
        assert how["exitCode"] == 128 + signal.SIGTERM
        assert gone - drained > DRAIN_DELAY / 2
    finally:
        node.remove("pod,configmap ledger program")


def ask(url: str) -> str:
    """What the program answers."""
    with urllib.request.urlopen(url, timeout=LIMIT) as answer:
        text: str = answer.read().decode()
    return text.strip()
