"""A bridge follows its source: what it writes, what it removes, and what it never touches."""

from __future__ import annotations

import time

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.conftest import StartBridge
from tests.integration.bridges.engines import Engine, Running, imported, wait_instances, wait_ports
from tests.support import Truth, counting, wait_until, wait_view
from zkdiscovery import Client, Instance, Status
from zkdiscovery.bridges import Imported, SourceUnavailable


def test_what_the_source_has_becomes_instances(make_client: MakeClient, start_bridge: StartBridge) -> None:
    engine, client = Engine(), make_client()
    engine.put(
        Imported(
            "web", "abc", "10.1.2.3", 8001, ports={"metrics": 9100}, tls_port=8443, status=Status.DRAINING, weight=2.0,
            zone="eu-1a", version="1.2", tags=["blue"], metadata={"node": "n1"}, runtime="abc",
        )
    )  # fmt: skip
    start_bridge(client, engine)
    instance = wait_ports(client, "web", 1)[8001]
    digest = engine.name.rpartition("-")[2]
    assert instance == Instance(
        "web", "10.1.2.3", 8001, id=f"{digest}:abc:8001", ports={"metrics": 9100}, tls_port=8443,
        status=Status.DRAINING, weight=2.0, zone="eu-1a", version="1.2", tags=("blue",), metadata={"node": "n1"},
        source=engine.name, registered_at=instance.registered_at,
    )  # fmt: skip
    assert abs((instance.registered_at or 0) - time.time()) < 60


def test_changes_are_followed(make_client: MakeClient, start_bridge: StartBridge, engine: Engine) -> None:
    client = make_client()
    engine.put(imported(1), imported(2))
    start_bridge(client, engine)
    before = wait_ports(client, "web", 1, 2)
    engine.put(imported(3))
    wait_ports(client, "web", 1, 2, 3)
    engine.put(imported(1, status=Status.DRAINING))
    after = wait_instances(client, "web", lambda found: found[8001].status is Status.DRAINING)
    assert after[8001].registered_at == before[8001].registered_at, "it is the same instance"
    assert after[8002] == before[8002]
    engine.remove(1)
    wait_ports(client, "web", 2, 3)
    engine.put(imported(2, service="shop"))  # it came back under another name
    wait_ports(client, "shop", 2)
    wait_ports(client, "web", 3)


def test_a_source_that_becomes_empty_leaves_no_suspects(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    client = make_client()
    engine.put(*(imported(number) for number in range(1, 6)))
    start_bridge(client, engine)
    view = make_client().discover("web")
    wait_view(view, lambda snapshot: len(snapshot.instances) == 5)
    engine.remove(1, 2, 3, 4, 5)
    snapshot = wait_view(view, lambda snapshot: not snapshot.instances)
    assert snapshot.suspects == ()


def test_nothing_is_removed_before_the_first_list_is_complete(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    client = make_client()
    engine.put(imported(1), imported(2))
    former = make_client(session_timeout=30.0)  # an engine's instances stay for so long
    first = start_bridge(former, engine)
    wait_ports(client, "web", 1, 2)
    engine.gate.clear()
    first.stop()
    former.close()
    lists = engine.lists
    engine.objects = {"object-1": imported(1)}
    start_bridge(make_client(), engine)
    wait_until(lambda: engine.lists > lists)
    engine.error = SourceUnavailable("in the middle of its first list")
    engine.gate.set()
    wait_until(lambda: engine.faults > 1)
    wait_ports(client, "web", 1, 2)
    engine.error = None
    engine.tell()
    wait_ports(client, "web", 1)


def test_what_the_bridge_did_not_write_is_not_touched(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, truth: Truth, namespace: str
) -> None:
    client = make_client()
    client.register("web", 9001, host="10.9.9.9", id="own").wait_registered(5.0)
    truth.create(f"{namespace}/services/web/foreign", b'{"address":"10.9.9.8","port":9002}')
    truth.create(f"{namespace}/services/web/nonsense", b"\xff")
    engine.put(imported(1))
    start_bridge(make_client(), engine)
    wait_instances(client, "web", lambda found: found.keys() == {8001, 9001, 9002})
    engine.remove(1)
    wait_instances(client, "web", lambda found: found.keys() == {9001, 9002})
    assert truth.get(f"{namespace}/services/web/nonsense") is not None


def test_two_sources_in_one_namespace_never_touch_each_other(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    client, other = make_client(), Engine("engine-2", clustered=engine.clustered)
    engine.put(imported(1), imported(2))
    other.put(imported(1), imported(3))
    start_bridge(make_client(), engine)
    second = start_bridge(make_client(), other)
    wait_until(lambda: len(client.instances("web")) == 4)
    engine.remove(1)
    wait_until(lambda: len(client.instances("web")) == 3)
    assert sorted(found.port for found in client.instances("web") if found.source == other.name) == [8001, 8003]
    other.remove(1, 3)
    wait_ports(client, "web", 2)
    second.stop()
    engine.put(imported(4))
    wait_ports(client, "web", 2, 4)


def test_a_mass_of_events_is_few_lists_and_few_transactions(make_client: MakeClient, start_bridge: StartBridge) -> None:
    client, engine = make_client(), Engine()
    start_bridge(client, engine)
    wait_until(lambda: engine.lists > 0)
    with counting(client) as counts:
        for number in range(200):
            engine.put(imported(number, service="mass"))
        wait_until(lambda: len(client.instances("mass")) == 200)
    assert engine.lists < 50
    assert counts["Multi"] < 60, "a write holds many"


def test_a_bridge_at_rest_sends_nothing(make_client: MakeClient, start_bridge: StartBridge, engine: Engine) -> None:
    client = make_client()
    engine.put(imported(1), imported(2))
    start_bridge(client, engine)
    wait_ports(make_client(), "web", 1, 2)
    lists = engine.lists
    engine.tell()
    wait_until(lambda: engine.lists > lists)
    with counting(client) as counts:
        for _ in range(5):
            lists = engine.lists
            engine.tell()
            wait_until(lambda lists=lists: engine.lists > lists)
    assert counts["Multi"] <= 6, "leases alone"
    assert not counts["GetData"]
    assert not counts["MultiRead"]


def test_an_entry_that_somebody_deletes_comes_back(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    client = make_client()
    engine.put(imported(1))
    start_bridge(make_client(), engine)
    [instance] = wait_ports(client, "web", 1).values()
    assert client.remove("web", instance.id)
    wait_ports(client, "web", 1)


def test_an_override_stands_above_what_the_source_says(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    client = make_client()
    engine.put(imported(1))
    start_bridge(make_client(), engine)
    [instance] = wait_ports(client, "web", 1).values()
    client.override("web", instance.id, status="OUT_OF_SERVICE")
    engine.put(imported(1, weight=3.0))
    found = wait_instances(client, "web", lambda found: found[8001].weight == 3.0)[8001]
    assert found.status is Status.OUT_OF_SERVICE
    assert found.own.status is Status.UP
    client.clear_override("web", instance.id)
    wait_instances(client, "web", lambda found: found[8001].status is Status.UP)


def test_what_cant_be_imported_is_told_and_harms_no_other(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    engine.problems = {"db (container 12)": "two networks, and no label says which"}
    engine.put(imported(1), imported(2, weight=-1.0), Imported("a/b", "x", "10.0.0.1", 80))
    start_bridge(make_client(), engine)
    wait_ports(client, "web", 1)
    engine.put(imported(3))
    wait_ports(client, "web", 1, 3)
    messages = [record.getMessage() for record in caplog.records if record.name == "zkdiscovery.bridges"]
    assert len([message for message in messages if "two networks" in message]) == 1
    assert len([message for message in messages if "weight" in message]) == 1
    assert len([message for message in messages if "'/'" in message]) == 1


def test_another_system_behind_the_same_address(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    client = make_client()
    engine.put(imported(1))
    start_bridge(make_client(), engine)
    wait_ports(client, "web", 1)
    engine.error = SourceUnavailable("it is installed anew")
    engine.tell()
    wait_until(lambda: engine.faults > 0)
    engine.identities, engine.objects = "engine-9", {"object-2": imported(2)}
    engine.error = None
    engine.tell()
    left = (1, 2) if engine.clustered else (2,)
    wait_ports(client, "web", *left)


def test_the_codec_must_keep_the_mark(make_client: MakeClient) -> None:
    class Forgetful:
        name = "forgetful"

        def encode(self, instance: Instance, over: bytes | None = None) -> bytes:
            return f"{instance.host}:{instance.port}".encode()

        def decode(self, service: str, id: str, data: bytes) -> Instance:
            host, _, port = data.decode().partition(":")
            return Instance(service, host, int(port), id=id)

    client: Client = make_client(codec=Forgetful())
    with Running(client, Engine().bridged()) as running:
        wait_until(lambda: running.error is not None)
    assert "codec" in str(running.error)


def test_while_a_source_settles_nothing_is_added_or_removed(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    client = make_client()
    engine.put(*(imported(number) for number in range(1, 4)))
    start_bridge(client, engine)
    known = wait_ports(client, "web", 1, 2, 3)
    client.override("web", known[8001].id, status=Status.OUT_OF_SERVICE)
    wait_instances(client, "web", lambda found: found[8001].status is Status.OUT_OF_SERVICE)
    overridden = client.instances("web")
    engine.settling = True
    engine.remove(1, 2)
    engine.put(imported(3, status=Status.DOWN), imported(4))
    after = wait_instances(client, "web", lambda found: found[8003].status is Status.DOWN)
    assert after.keys() == {8001, 8002, 8003}
    assert [one for one in after.values() if one.port != 8003] == [one for one in overridden if one.port != 8003]
    engine.settling = False
    engine.tell()
    wait_ports(client, "web", 3, 4)
