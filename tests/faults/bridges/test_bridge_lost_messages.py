"""Each message of a bridge lost once: what the source has stands in ZooKeeper in the end, and nothing else."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.conftest import StartBridge
from tests.integration.bridges.engines import Engine, imported, wait_instances, wait_ports
from tests.support import LIMIT, wait_until
from zkdiscovery.testing import FaultProxy

lost = pytest.mark.parametrize("how", ["lose_reply", "lose_request"])


@lost
@pytest.mark.parametrize("kind", ["create", "create_container", "multi", "get_children", "set_watches", "multi_read"])
def test_while_a_bridge_begins(
    make_client: MakeClient,
    start_bridge: StartBridge,
    engine: Engine,
    zkdiscovery_proxy: FaultProxy,
    how: str,
    kind: str,
) -> None:
    client = make_client()
    client.register("web", 9001, host="10.9.9.9", id="own").wait_registered(LIMIT)
    bridging = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    fault = getattr(zkdiscovery_proxy, how)(kind)
    engine.put(imported(1), imported(2), imported(3, service="shop"))
    start_bridge(bridging, engine)
    wait_instances(client, "web", lambda found: found.keys() == {8001, 8002, 9001})
    wait_ports(client, "shop", 3)
    wait_until(lambda: fault.happened)  # the bridge may read later than the client


@lost
@pytest.mark.parametrize("kind", ["multi", "multi_read"])
def test_while_it_follows(
    make_client: MakeClient,
    start_bridge: StartBridge,
    engine: Engine,
    zkdiscovery_proxy: FaultProxy,
    how: str,
    kind: str,
) -> None:
    client = make_client()
    engine.put(imported(1), imported(2))
    start_bridge(make_client(zkdiscovery_proxy.address), engine)
    wait_ports(client, "web", 1, 2)
    fault = getattr(zkdiscovery_proxy, how)(kind)
    engine.put(imported(3))
    engine.remove(1)
    engine.put(imported(2, weight=2.0))
    wait_instances(client, "web", lambda found: found.keys() == {8002, 8003} and found[8002].weight == 2.0)
    wait_until(lambda: fault.happened)  # the bridge may read later than the client
