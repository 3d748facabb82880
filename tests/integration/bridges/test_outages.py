"""What becomes of a bridge's instances while the source, ZooKeeper or the bridge itself is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.conftest import StartBridge
from tests.integration.bridges.engines import Engine, imported, wait_instances, wait_ports
from tests.support import LIMIT, Truth, core_of, wait_until
from zkdiscovery import Client, SessionExpired
from zkdiscovery.bridges import SourceRefused, SourceUnavailable
from zkdiscovery.bridges.sources import read_sources
from zkdiscovery.testing import FaultProxy, ZookeeperServer, expire_session

Expire = Callable[[Client], None]


def away(truth: Truth, namespace: str, engine: Engine) -> dict[str, Any] | None:
    """What the node of the source says of its absence."""
    node = truth.get(f"{namespace}/bridges/{engine.name}/away")
    return None if node is None else json.loads(node.data)


def test_while_the_source_is_away_everything_stays_and_one_node_says_so(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, truth: Truth, namespace: str
) -> None:
    client = make_client()
    engine.put(imported(1), imported(2))
    start_bridge(make_client(), engine)
    before = wait_ports(client, "web", 1, 2)
    began = time.time()
    engine.error = SourceUnavailable("connection refused")
    engine.objects = {"object-1": imported(1), "object-3": imported(3)}
    engine.tell()
    wait_until(lambda: away(truth, namespace, engine) is not None)
    said = away(truth, namespace, engine)
    assert said is not None
    assert said["why"] == "connection refused"
    assert began - 1 <= said["since"] <= time.time()
    assert wait_ports(client, "web", 1, 2) == before
    lists = engine.faults
    wait_until(lambda: engine.faults > lists + 2)
    assert away(truth, namespace, engine) == said, "it is written once"
    engine.error = None
    engine.tell()
    wait_ports(client, "web", 1, 3)
    wait_until(lambda: away(truth, namespace, engine) is None)


def test_a_source_that_is_away_at_first_is_followed_once_it_is_there(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.error = SourceUnavailable("not started yet")
    start_bridge(make_client(), engine)
    wait_until(lambda: engine.faults > 3)
    assert len([record for record in caplog.records if "not started yet" in record.getMessage()]) == 1
    engine.put(imported(1))
    engine.error = None
    wait_ports(make_client(), "web", 1)


def test_a_refusal_is_an_error_that_says_what_to_grant(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.error = SourceRefused("grant the right to list endpointslices")
    start_bridge(make_client(), engine)
    wait_until(lambda: [record for record in caplog.records if record.levelname == "ERROR"])
    assert "grant the right to list endpointslices" in caplog.text


def test_a_defect_of_a_source_does_not_end_the_bridge(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    engine.put(imported(1))
    running = start_bridge(make_client(), engine)
    wait_ports(client, "web", 1)
    engine.error = ZeroDivisionError("a defect")
    engine.tell()
    wait_until(lambda: engine.faults > 0)
    engine.error = None
    engine.put(imported(2))
    wait_ports(client, "web", 1, 2)
    assert running.error is None
    assert "a defect" in caplog.text


def test_an_expired_session(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, zkdiscovery_expire: Expire
) -> None:
    client, bridging = make_client(), make_client()
    engine.put(imported(1), imported(2))
    start_bridge(bridging, engine)
    wait_ports(client, "web", 1, 2)
    zkdiscovery_expire(bridging)
    engine.objects = {"object-2": imported(2), "object-3": imported(3)}
    engine.tell()
    wait_ports(client, "web", 2, 3)


def test_zookeeper_away(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, zkdiscovery_proxy: FaultProxy
) -> None:
    client = make_client()
    engine.put(imported(1), imported(2))
    start_bridge(make_client(zkdiscovery_proxy.address), engine)
    wait_ports(client, "web", 1, 2)
    zkdiscovery_proxy.refuse()
    for number in range(3, 8):
        engine.put(imported(number))
        engine.remove(number - 1)
    zkdiscovery_proxy.heal()
    wait_ports(client, "web", 1, 7)


def test_events_that_are_lost_are_made_up_for_by_the_next_list(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    engine.relist = 0.5
    client = make_client()
    start_bridge(make_client(), engine)
    engine.objects = {"object-1": imported(1)}
    wait_ports(client, "web", 1)


def test_a_bridge_that_is_stopped_and_started_leaves_no_gap(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, truth: Truth, namespace: str
) -> None:
    watching, bridging = make_client(), make_client()
    engine.put(imported(1), imported(2), imported(3))
    first = start_bridge(bridging, engine)
    before = wait_ports(watching, "web", 1, 2, 3)
    view = watching.discover("web")
    wait_until(lambda: len(view.instances) == 3)
    fewest = [3]
    view.on_change(lambda change: fewest.append(len(change.after.instances)))
    first.stop()
    bridging.close()
    assert [name for name in truth.children(f"{namespace}/bridges/{engine.name}") if name != "away"] == []
    later = make_client()
    start_bridge(later, engine)
    engine.put(imported(4))
    after = wait_ports(watching, "web", 1, 2, 3, 4)
    assert min(fewest) == 3
    assert {port: after[port].registered_at for port in before} == {
        port: instance.registered_at for port, instance in before.items()
    }
    if not engine.clustered:
        session = later.slot.current().session.session_id
        nodes = [truth.get(f"{namespace}/services/web/{instance.id}") for instance in after.values()]
        assert {node.stat.ephemeral_owner for node in nodes if node is not None} == {session}


def test_what_went_while_no_bridge_ran_goes_with_the_first_list(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    client, bridging = make_client(), make_client()
    engine.put(imported(1), imported(2))
    first = start_bridge(bridging, engine)
    wait_ports(client, "web", 1, 2)
    first.stop()
    bridging.close()
    engine.remove(1)
    start_bridge(make_client(), engine)
    wait_ports(client, "web", 2)


def test_the_instances_of_an_engine_go_with_the_session_of_its_bridge(
    make_client: MakeClient, start_bridge: StartBridge, zkdiscovery_server: ZookeeperServer
) -> None:
    """Its host died: nothing deregisters them."""
    client, bridging, engine = make_client(), make_client(), Engine(clustered=False)
    engine.put(imported(1))
    running = start_bridge(bridging, engine)
    wait_ports(client, "web", 1)
    credentials = core_of(bridging).session.credentials
    assert credentials is not None
    running.stop()
    bridging.close()
    wait_ports(client, "web", 1)
    with suppress(SessionExpired):  # over in any case
        expire_session(credentials.session_id, credentials.password, zkdiscovery_server.hosts)
    wait_ports(client, "web")


def test_one_of_two_bridges_leads_and_the_other_follows_it(
    make_client: MakeClient, start_bridge: StartBridge, zkdiscovery_expire: Expire
) -> None:
    client, engine = make_client(), Engine()
    engine.put(imported(1))
    first_client = make_client()
    first = start_bridge(first_client, engine)
    wait_ports(client, "web", 1)
    start_bridge(make_client(), engine)
    wait_until(lambda: engine.subscriptions == 2)
    lists = engine.lists
    engine.put(imported(2))
    wait_ports(client, "web", 1, 2)
    assert engine.lists <= lists + 2, "the leader alone lists"
    first.stop()
    engine.put(imported(3))
    engine.remove(1)
    wait_ports(client, "web", 2, 3)


def test_two_bridges_of_one_engine_never_fight(make_client: MakeClient, start_bridge: StartBridge) -> None:
    client, engine = make_client(), Engine(clustered=False)
    engine.put(imported(1))
    start_bridge(make_client(), engine)
    wait_ports(client, "web", 1)
    second_client = make_client()
    second = start_bridge(second_client, engine)
    wait_until(lambda: engine.subscriptions == 2)
    engine.put(imported(2))
    engine.remove(1)
    wait_ports(client, "web", 2)
    second.stop()
    second_client.slot.current().session.left_to_expire = False  # it dies, and its session at once
    second_client.close()
    wait_instances(client, "web", lambda found: found.keys() == {8002})
    engine.put(imported(3))
    wait_ports(client, "web", 2, 3)


def test_a_leader_that_cant_reach_the_source_lets_another_bridge_try(
    make_client: MakeClient, start_bridge: StartBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zkdiscovery.bridges.bridge.STEP_ASIDE", 0.5)
    client, engine = make_client(), Engine()
    engine.put(imported(1))
    first = start_bridge(make_client(), engine)
    wait_ports(client, "web", 1)
    start_bridge(make_client(), engine)
    wait_until(lambda: engine.subscriptions == 2)
    first.bridge._source.error = SourceUnavailable("cut off from here")  # type: ignore[attr-defined]
    engine.put(imported(2))
    wait_ports(client, "web", 1, 2)


def test_closing_takes_little_time(make_client: MakeClient, start_bridge: StartBridge, engine: Engine) -> None:
    running = start_bridge(make_client(), engine)
    wait_until(lambda: engine.lists > 0)
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < LIMIT / 2


def test_what_was_lost_while_no_bridge_ran_stays_until_it_must_have_come_back(
    make_client: MakeClient, start_bridge: StartBridge
) -> None:
    engine, client = Engine(), make_client()
    engine.put(*map(imported, range(1, 4)))
    first = start_bridge(make_client(), engine)
    wait_ports(client, "web", 1, 2, 3)
    first.stop()
    engine.objects, engine.returning = {"object-4": imported(4)}, 8.0  # it has lost its data
    start_bridge(make_client(), engine)
    wait_ports(client, "web", 1, 2, 3, 4)

    def told() -> Mapping[str, str]:
        (source,) = read_sources(client, LIMIT)
        return source.bridges[0].problems if source.bridges else {}

    wait_until(lambda: "before this bridge began" in str(told()))
    engine.put(imported(1), imported(2, weight=2))
    wait_instances(client, "web", lambda found: found[8002].weight == 2)
    engine.remove(1)
    wait_ports(client, "web", 2, 3, 4)  # at once: this bridge has seen it, and its end
    assert told()
    wait_ports(client, "web", 2, 4)
    wait_until(lambda: told() == {})
