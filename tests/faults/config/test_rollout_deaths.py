"""Who drives a rollout dies at each step, and another one goes on: nobody is left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import MakeClient
from tests.integration.config.conftest import wait_config
from tests.support import LIMIT, Truth
from zkdiscovery.config.pointer import Pointer, decode_pointer
from zkdiscovery.testing import ZookeeperServer

READERS = 6
MOST = 30  # writes of one rollout

DRIVER = """
import os, sys
from zkdiscovery import Client
from zkdiscovery.session import Create, CreateNumbered, Multi
from zkdiscovery.session.transport.channel import Channel

hosts, namespace, revision, left = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
submit = Channel.submit

def dying(self, request, *arguments, **options):
    global left
    answer = submit(self, request, *arguments, **options)
    left -= isinstance(request, (Create, CreateNumbered, Multi))
    if left < 0:
        answer.add_done_callback(lambda _: os._exit(9))
    return answer

client = Client(hosts, namespace=namespace, session_timeout=2).start().wait_connected()
store = client.config_store("shop")
Channel.submit = dying
store.staged_rollout(revision, percent=[50, 100], bake=0.01)
os._exit(0)
"""


@pytest.mark.timeout(300)
def test_each_step(zkdiscovery_server: ZookeeperServer, namespace: str, make_client: MakeClient, truth: Truth) -> None:
    """Once each write is answered, which is before the next one, until a driver meets no end any more."""
    client = make_client()
    store = client.config_store("shop")
    store.replace({"limit": 0}, "first")
    readers = [client.config("shop", id=f"web-{number}").wait_ready(LIMIT) for number in range(READERS)]
    for step in range(MOST):
        with store.edit("more", in_force=False) as draft:
            draft["limit"] += 1
        revision = draft.revision
        command = [sys.executable, "-c", DRIVER, zkdiscovery_server.hosts, namespace, str(revision), str(step)]
        code = subprocess.run(command, check=False, timeout=3 * LIMIT).returncode
        assert code in {0, 9}
        store.staged_rollout(revision, percent=[50, 100], bake=0.01)
        for config in readers:
            wait_config(config, lambda value, limit=draft["limit"]: value["limit"] == limit)
        node = truth.get(f"{namespace}/config/documents/shop/pointer")
        assert node is not None
        assert decode_pointer(node.data) == Pointer(stable=revision, last=revision)
        if code == 0:
            break
    assert 5 < step < MOST - 1, f"a driver takes {step} writes"
    print(f"\nkilled after each of {step} writes")
