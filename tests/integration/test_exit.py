"""A process that ends without closing its client."""

from __future__ import annotations

import subprocess
import sys

from tests.support import LIMIT, Truth

FORGETFUL = """
import sys
from zkdiscovery import Client
client = Client(sys.argv[1], namespace=sys.argv[2], session_timeout=30.0)
registration = client.register("payments", 8080, id="a").wait_registered(20.0)
"""


def test_a_process_that_forgets_to_close_says_goodbye_all_the_same(
    truth: Truth, namespace: str, zkdiscovery_server: object
) -> None:
    hosts = zkdiscovery_server.hosts  # type: ignore[attr-defined]
    subprocess.run([sys.executable, "-c", FORGETFUL, hosts, namespace], check=True, timeout=LIMIT)
    assert truth.children(f"{namespace}/services/payments") == []
    assert truth.children(f"{namespace}/services") == ["payments"]
