"""Links that pass little at a time: slow is not dead."""

from __future__ import annotations

import json
import time

import pytest

from tests.conftest import MakeClient
from tests.faults.session.traffic import MULTI_READ, Traffic
from tests.support import LIMIT, Truth, core_of, wait_view
from zkdiscovery.session import EPHEMERAL, Create
from zkdiscovery.testing import FaultProxy, ZookeeperServer

pytestmark = pytest.mark.links


def _fill(truth: Truth, path: str, *, nodes: int, size: int) -> None:
    truth.create(f"{path}/first", b"{}")
    for number in range(nodes):
        name = f"i-{number:03}"
        record = {
            "name": "payments", "id": name, "address": "127.0.0.1", "port": 8080, "serviceType": "DYNAMIC",
            "payload": {"@class": "x", "metadata": {"filler": "x" * size}},
        }  # fmt: skip
        truth.session.submit(
            Create(f"{path}/{name}", json.dumps(record).encode(), truth.session.leaf_acl, EPHEMERAL),
            deadline=time.monotonic() + LIMIT,
        )
    truth.delete(f"{path}/first")


def test_a_load_that_takes_longer_than_a_session_keeps_link_and_session(
    make_client: MakeClient, namespace: str, truth: Truth, zkdiscovery_server: ZookeeperServer
) -> None:
    """4 MB at 1 MB/s, a session of 2 s: one answer takes longer than T/3, all of it two sessions."""
    _fill(truth, f"{namespace}/services/payments", nodes=200, size=20_000)
    with FaultProxy(zkdiscovery_server.hosts) as proxy:
        client = make_client(proxy.address, session_timeout=2.0)
        client.wait_connected(LIMIT)
        session = core_of(client).session
        generation, epoch = session.generation, session.epoch
        proxy.slow(1e6)
        view = client.discover("payments")
        wait_view(view, lambda snapshot: len(snapshot) == 200, 40.0)
        assert (session.generation, session.epoch) == (generation, epoch)


def test_answers_are_kept_small_where_nodes_are_large(
    make_client: MakeClient, namespace: str, truth: Truth, zkdiscovery_proxy: FaultProxy
) -> None:
    """A renewal waits behind one answer of some 512 KiB, not behind one of 500 large nodes."""
    _fill(truth, f"{namespace}/services/payments", nodes=200, size=20_000)
    traffic = Traffic(zkdiscovery_proxy)
    view = make_client(zkdiscovery_proxy.address).discover("payments")
    wait_view(view, lambda snapshot: len(snapshot) == 200)
    assert 300_000 <= max(traffic.answered(MULTI_READ)) <= 530_000
