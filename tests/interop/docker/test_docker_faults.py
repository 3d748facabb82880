"""Faults amid 50 starts and stops: whatever breaks, the truth follows within 2 s of its end."""

from __future__ import annotations

import signal
import time

import pytest

from tests.conftest import MakeClient
from tests.interop.docker.conftest import Follow
from tests.interop.docker.engine import Engine
from tests.interop.docker.following import Churn, registered, run, wait_settled, wait_truth
from tests.interop.docker.freezing import FreezingProxy
from tests.interop.docker.machines import T, bridge
from tests.support import LIMIT, wait_until
from zkdiscovery import Client
from zkdiscovery.bridges.sources import RunningBridge, read_sources
from zkdiscovery.testing import ZookeeperServer

CHURN = 50  # starts, and almost as many stops
SOON = 2.0  # seconds
HALF_OPEN = 30.0  # seconds

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.mark.short
def test_a_bridge_that_is_killed_amid_starts_and_stops(
    engine: Engine, make_client: MakeClient, zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    client = make_client()
    with Churn(engine, CHURN) as churn:
        with bridge(engine, zkdiscovery_server.hosts, namespace) as process:
            wait_until(lambda: churn.done > CHURN // 2 and registered(client), 4 * LIMIT)
            process.kill()
            process.wait()
        churn.wait()
        wait_settled(engine)
        wait_until(lambda: not bridges(client))
        with bridge(engine, zkdiscovery_server.hosts, namespace) as process:
            wait_until(lambda: bridges(client), 2 * LIMIT)
            print(f"the truth {wait_truth(client, engine, SOON):.2f} s after the next bridge is there")
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 128 + signal.SIGTERM


@pytest.mark.long
def test_events_that_are_lost_amid_starts_and_stops(engine: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    with FreezingProxy(engine.address) as proxy:
        follow(client, f"tcp://{proxy.address}")
        with Churn(engine, CHURN) as churn:
            wait_until(lambda: churn.done > CHURN // 4 and registered(client), 4 * LIMIT)
            proxy.drops_events = True
            churn.wait()
        wait_settled(engine)
        assert proxy.dropped > CHURN // 2
        proxy.drops_events = False
        print(f"the truth {wait_truth(client, engine, SOON):.2f} s after events pass again, and none has come")


@pytest.mark.long
def test_an_engine_that_is_restarted_amid_starts_and_stops(
    engine: Engine, make_client: MakeClient, follow: Follow
) -> None:
    client = make_client()
    follow(client, engine.host)
    with Churn(engine, CHURN, patient=True) as churn:
        for end, part in ((engine.stop, CHURN // 4), (engine.kill, CHURN // 2)):
            wait_until(lambda part=part: churn.done > part and registered(client), 4 * LIMIT)
            end()
            engine.start()
        churn.wait()
    wait_settled(engine)
    print(f"the truth {wait_truth(client, engine, SOON):.2f} s after the last start")
    assert registered(client)


@pytest.mark.long
def test_a_half_open_connection_amid_starts_and_stops(engine: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    with FreezingProxy(engine.address) as proxy:
        follow(client, f"tcp://{proxy.address}")
        with Churn(engine, CHURN) as churn:
            wait_until(lambda: churn.done > CHURN // 2 and registered(client), 4 * LIMIT)
            proxy.freeze()
            began = time.monotonic()
            churn.wait()
        wait_settled(engine)
        churned = time.monotonic()
        wait_truth(client, engine, max(SOON, began + HALF_OPEN - churned))
        now = time.monotonic()
        print(f"the truth {now - churned:.1f} s after the last start, {now - began:.1f} s after the connections froze")


@pytest.mark.long
def test_a_host_that_dies_with_its_bridge_leaves_nothing(
    engine: Engine, make_client: MakeClient, zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    client = make_client()
    run(engine)
    with bridge(engine, zkdiscovery_server.hosts, namespace) as process:
        wait_until(lambda: registered(client))
        engine.kill()
        process.kill()
        began = time.monotonic()
        wait_until(lambda: not client.instances("web"))
        print(f"gone {time.monotonic() - began:.1f} s after the host died, T = {T:g} s")
    engine.start()


def bridges(client: Client) -> list[RunningBridge]:
    """The bridges that run."""
    return [each for status in read_sources(client, LIMIT) for each in status.bridges]
