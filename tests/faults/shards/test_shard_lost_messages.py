"""Each message of a member lost once: every shard is held in the end, by one member, and no node is left behind."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.integration.shards.conftest import Consume
from tests.support import LIMIT, Truth, wait_until
from zkdiscovery.testing import FaultProxy

lost = pytest.mark.parametrize("how", ["lose_reply", "lose_request"])


def places(truth: Truth, root: str) -> list[int]:
    """How many stand in the queue of each shard."""
    return [len(truth.children(f"{root}/locks/{number}")) for number in range(8)]


@lost
@pytest.mark.parametrize(
    "kind", ["create", "create_container", "multi", "get_data", "get_children", "set_watches", "multi_read"]
)
def test_while_the_first_member_joins(
    make_client: MakeClient,
    consume: Consume,
    truth: Truth,
    root: str,
    zkdiscovery_proxy: FaultProxy,
    how: str,
    kind: str,
) -> None:
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    fault = getattr(zkdiscovery_proxy, how)(kind)
    member = consume(client)
    assert member.wait_held(8) == set(range(8))
    assert fault.happened
    wait_until(lambda: places(truth, root) == [1] * 8)
    assert len(truth.children(f"{root}/members")) == len(truth.children(f"{root}/assigner")) == 1
    member.shards.close()
    wait_until(lambda: places(truth, root) == [0] * 8)
    assert truth.children(f"{root}/members") == truth.children(f"{root}/assigner") == []


@lost
@pytest.mark.parametrize("kind", ["multi", "delete", "multi_read"])
def test_while_shards_move(
    make_client: MakeClient,
    consume: Consume,
    truth: Truth,
    root: str,
    zkdiscovery_proxy: FaultProxy,
    how: str,
    kind: str,
) -> None:
    """The first member assigns, and gives up half of its shards."""
    first = consume(make_client(zkdiscovery_proxy.address))
    first.wait_held(8)
    fault = getattr(zkdiscovery_proxy, how)(kind)
    second = consume(make_client())
    second.wait_held(4)
    first.wait_held(4)
    wait_until(lambda: fault.happened)
    wait_until(lambda: places(truth, root) == [1] * 8)
    assert set(first.shards.held()) | set(second.shards.held()) == set(range(8))
    first.shards.close()
    second.wait_held(8)
    wait_until(lambda: places(truth, root) == [1] * 8)
    assert len(truth.children(f"{root}/members")) == len(truth.children(f"{root}/assigner")) == 1
