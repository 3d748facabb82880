"""Without a bridge nobody tells ZooKeeper that a container died: its entry stays until its session times out."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.interop.kubernetes.pods.manifests import pod
from tests.interop.kubernetes.pods.node import Node
from tests.interop.kubernetes.pods.waiting import PATIENCE
from tests.support import Truth

T = 10.0  # seconds, the session timeout if nothing else is said

pytestmark = pytest.mark.timeout(300)


def test_an_entry_stays_until_the_session_times_out(node: Node, hosts: str, truth: Truth) -> None:
    node.apply(pod("doomed"))
    try:
        doomed = node.wait_pod("doomed")
        place = f"/shop/services/payments/doomed@{doomed['status']['podIP']}:8080"
        assert truth.get(place) is not None
        began = time.monotonic()
        os.kill(node.process(doomed), signal.SIGKILL)
        truth.wait(place, lambda found: found is None, PATIENCE)
        took = time.monotonic() - began
        print(f"gone {took:.1f} s after the kill, T = {T:g} s")
        assert took > T / 2
    finally:
        node.remove("pod doomed")
