"""Registrations made inside containers: they take the place of imports, and go when their run has ended."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.conftest import StartBridge
from tests.integration.bridges.engines import Engine, imported, wait_instances, wait_ports
from tests.support import Truth, wait_until
from zkdiscovery import Instance
from zkdiscovery.bridges import Death
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.session import CONTAINER, AccessEntry, Create

POD = "7c2a6d3e-0f5b-4c3a-9b1e-1d2f3a4b5c6d"

REGISTERED = 1_700_000_000.0  # by the clock of the container's machine


def register(truth: Truth, namespace: str, port: int, runtime: str, service: str = "web") -> str:
    """Register as a process inside a container does; its id."""
    instance = Instance(service, "10.0.0.1", port, id=f"own-{port}", runtime=runtime, registered_at=REGISTERED)
    truth.create(f"{namespace}/services/{service}/{instance.id}", CuratorCodec().encode(instance), ephemeral=True)
    return instance.id


def test_a_live_owner_takes_the_place_of_an_import(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, truth: Truth, namespace: str
) -> None:
    client = make_client()
    engine.put(imported(1, runtime=POD), imported(2, runtime="f" * 64), imported(3))
    start_bridge(make_client(), engine)
    wait_ports(client, "web", 1, 2, 3)
    register(truth, namespace, 9001, f"{POD}/app")
    wait_instances(client, "web", lambda found: found.keys() == {8002, 8003, 9001})
    register(truth, namespace, 9002, f"{POD}/app", service="admin")
    register(truth, namespace, 9003, "f" * 63)
    wait_instances(client, "web", lambda found: found.keys() == {8002, 8003, 9001, 9003})
    truth.delete(f"{namespace}/services/web/own-9001")
    wait_instances(client, "web", lambda found: found.keys() == {8001, 8002, 8003, 9003})


def test_what_a_dead_run_has_registered_goes_at_once(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, truth: Truth, namespace: str
) -> None:
    client = make_client()
    register(truth, namespace, 9001, f"{POD}/app")
    register(truth, namespace, 9002, f"{POD}/sidecar")
    register(truth, namespace, 9003, "e" * 64)
    register(truth, namespace, 9004, f"{POD}/app", service="admin")
    start_bridge(make_client(), engine)
    wait_until(lambda: engine.lists > 0)
    engine.deaths = [Death(f"{POD}/app")]
    engine.tell()
    wait_instances(client, "web", lambda found: found.keys() == {9002, 9003})
    wait_instances(client, "admin", lambda found: not found)
    engine.deaths = [Death(POD), Death("d" * 64)]
    engine.tell()
    wait_instances(client, "web", lambda found: found.keys() == {9003})


def test_what_the_next_run_has_registered_stays(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, truth: Truth, namespace: str
) -> None:
    """A container that was started again has the id of before. The clock of ZooKeeper does not matter."""
    client = make_client()
    register(truth, namespace, 9001, "e" * 64)
    register(truth, namespace, 9002, "f" * 64)
    start_bridge(make_client(), engine)
    wait_until(lambda: engine.lists > 0)
    engine.deaths = [Death("e" * 64, before=REGISTERED - 0.5), Death("f" * 64, before=REGISTERED + 0.5)]
    engine.tell()
    wait_instances(client, "web", lambda found: found.keys() == {9001})


def test_what_was_registered_after_the_list_was_asked_for_stays(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, truth: Truth, namespace: str
) -> None:
    """It died and was started again while the engine was answering."""
    client = make_client()
    start_bridge(make_client(), engine)
    wait_until(lambda: engine.lists > 0)
    lists = engine.lists
    engine.gate.clear()
    engine.deaths = [Death("e" * 64)]
    engine.tell()
    wait_until(lambda: engine.lists > lists)
    register(truth, namespace, 9001, "e" * 64)
    engine.deaths = []
    engine.put(imported(1))
    engine.gate.set()
    wait_instances(client, "web", lambda found: found.keys() == {8001, 9001})


def test_a_registration_that_must_not_be_deleted_is_told_and_left(
    make_client: MakeClient,
    start_bridge: StartBridge,
    engine: Engine,
    truth: Truth,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = make_client()
    register(truth, namespace, 9001, "a" * 64)  # makes the parents
    read_and_create = AccessEntry(1 | 2 | 4, "world", "anyone")
    truth.call(Create(f"{namespace}/services/locked", b"", (read_and_create,), CONTAINER))
    register(truth, namespace, 9002, "a" * 64, service="locked")
    start_bridge(make_client(), engine)
    engine.deaths = [Death("a" * 64)]
    engine.put(imported(1))
    wait_instances(client, "web", lambda found: found.keys() == {8001})
    wait_until(lambda: "own-9002 of locked" in caplog.text)
    assert [instance.port for instance in client.instances("locked")] == [9002]
