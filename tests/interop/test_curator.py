"""Curator 5.9.0 and the classes of Spring Cloud Zookeeper 5.0.2: what we write, they read; what they write, we read."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.interop.programs import Peer
from tests.support import LIMIT, Truth
from zkdiscovery import Client, Instance, Status
from zkdiscovery.codecs.curator import CuratorCodec

CODEC = CuratorCodec()
PLAIN = Instance("payments", "10.0.0.7", 8080, id="plain", registered_at=1_700_000_000)
WRITTEN = [
    PLAIN,
    PLAIN.with_(id="host name", host="a.example"),
    PLAIN.with_(id="v6", host="2001:db8::7"),
    PLAIN.with_(id="secure", tls_port=8443),
    PLAIN.with_(id="secure v6", host="::1", tls_port=8443),
    PLAIN.with_(id="web-1@10.0.0.7:8080"),
    PLAIN.with_(id="web-1@[::1]:8080", host="::1"),
    PLAIN.with_(id='größe %20?"#&+ ', metadata={"größe": "päyments\n", "status": "green", "tags": "\x1b"}),
    PLAIN.with_(id="reserve", weight=0),
    PLAIN.with_(id="heavy", weight=5, zone="eu-1a", version="1.2", tags=("a", "b"), ports={"metrics": 9100}),
    *(PLAIN.with_(id=status.value, status=status) for status in Status),
    *(PLAIN.with_(id=f"{status} reserve", status=status, weight=0) for status in Status),
]


@pytest.fixture
def base(namespace: str) -> str:
    return f"{namespace}/services"


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client()


def test_what_we_write_is_read(peer: Peer, truth: Truth, base: str) -> None:
    for instance in WRITTEN:
        truth.create(f"{base}/payments/{instance.id}", CODEC.encode(instance))
    seen = {found["id"]: found for found in peer.ask("list", base, "payments", kind="spring")}
    assert seen.keys() == {instance.id for instance in WRITTEN}
    for instance in WRITTEN:
        found = seen[instance.id]
        called = instance.status is Status.UP and instance.weight > 0
        address = f"[{instance.host}]" if ":" in instance.host else instance.host
        assert (found["address"], found["port"], found["sslPort"]) == (address, instance.port, instance.tls_port)
        assert (found["type"], found["time"]) == ("DYNAMIC", 1_700_000_000_000)
        assert found["uri"] == found["springs"] == instance.url
        assert found["enabled"] is called
        assert found["metadata"]["instance_status"] == ("UP" if called else "OUT_OF_SERVICE")
        assert found["metadata"].items() >= instance.metadata.items()
        assert found["metadata"].get("zone") == instance.zone
    # Curator's provider chooses by `enabled`. Whoever lists instances has to look at it.
    provided = peer.ask("provide", base, "payments", kind="spring", times=2 * len(WRITTEN))
    assert set(provided) == {i.id for i in WRITTEN if i.status is Status.UP and i.weight > 0}


def test_the_address_that_springs_load_balancer_calls(peer: Peer, truth: Truth, base: str) -> None:
    """It puts the host of the instance in the place of the service's name."""
    for instance in (PLAIN, PLAIN.with_(id="v6", host="::1")):
        truth.create(f"{base}/payments/{instance.id}", CODEC.encode(instance))
    seen = {found["id"]: found for found in peer.ask("list", base, "payments", kind="spring")}
    assert seen["plain"]["called"] == "http://10.0.0.7:8080/a?b=c"
    assert seen["plain"]["calledEncoded"] == "http://10.0.0.7:8080/%C3%A4?b=%20"
    assert seen["v6"]["called"] == "http://[::1]:8080/a?b=c"
    assert seen["v6"]["calledEncoded"] == "http://[::1]:8080/%C3%A4?b=%20"


PAYLOADS = ["none", "text", "long", "date", "list", "map"]
TYPES = ["DYNAMIC", "STATIC", "PERMANENT", "DYNAMIC_SEQUENTIAL"]


def test_what_curator_writes_is_read_and_survives_an_operator(
    peer: Peer, client: Client, truth: Truth, base: str
) -> None:
    """Each type of instance with each shape of payload; an override reaches Curator and leaves the payload alone."""
    expected = {}
    for payload, kind in itertools.product(PAYLOADS, TYPES):
        name = f"{payload} {kind}"
        peer.ask("register", base, "java", kind=payload, type=kind, id=name, address="10.0.0.7", port=8080)
        expected[name] = kind

    def seen() -> dict[str, dict[str, Any]]:
        return {found["id"]: found for found in peer.ask("list", base, "java", kind="object")}

    before = seen()
    found = client.instances("java", LIMIT)
    # The nodes of sequential ones have a number more in their name than Curator's id.
    assert {i.id[:-10] if "SEQUENTIAL" in i.id else i.id for i in found} == expected.keys()
    for instance in found:
        assert (instance.host, instance.port, instance.status) == ("10.0.0.7", 8080, Status.UP)
        assert instance.registered_at is not None
        assert (instance.zone, dict(instance.metadata)) == (
            ("z1", {"status": "green"}) if instance.id.startswith("map") else (None, {})
        )
    stored = {i.id: json.loads(truth.get(f"{base}/java/{i.id}").data) for i in found}
    for instance in found:
        client.override("java", instance.id, status="DRAINING", weight=2.0, timeout=LIMIT)
    during = seen()
    assert {told["enabled"] for told in during.values()} == {False}
    unchanged = [key for key in before["none STATIC"] if key != "enabled"]
    for name in expected:
        assert [during[name][key] for key in unchanged] == [before[name][key] for key in unchanged]
    assert {i.status for i in client.instances("java", LIMIT)} == {Status.DRAINING}
    for instance in found:
        client.clear_override("java", instance.id, timeout=LIMIT)
    assert seen() == before
    assert client.instances("java", LIMIT) == found
    for name, node in stored.items():
        assert json.loads(truth.get(f"{base}/java/{name}").data).items() >= node.items()


def test_what_spring_writes_is_read_and_survives_an_operator(
    peer: Peer, client: Client, truth: Truth, base: str
) -> None:
    """Metadata of applications under names that are fields of ours, or were."""
    metadatas = {
        "status": {"instance_status": "UP", "status": "green", "version": "1\n2", "tags": "a,\x1bb", "ports": "8080"},
        "down": {"instance_status": "UP", "status": "DOWN"},
        "weight": {"instance_status": "UP", "weight": "heavy", "zone": "\x00"},
        "aside": {"instance_status": "OUT_OF_SERVICE", "weight": "3", "zone": "z1"},
        "none": {},
    }
    for name, metadata in metadatas.items():
        peer.ask(
            "register", base, "java", kind="spring", type="DYNAMIC", id=name, address="[::1]", port=8080,
            sslPort=None, metadata=metadata,
        )  # fmt: skip
    before = peer.ask("list", base, "java", kind="spring")
    found = {instance.id: instance for instance in client.instances("java", LIMIT)}
    assert found.keys() == metadatas.keys()
    assert {instance.host for instance in found.values()} == {"::1"}
    assert {name for name, instance in found.items() if instance.status is not Status.UP} == {"aside"}
    assert (found["aside"].weight, found["aside"].zone, dict(found["aside"].metadata)) == (3, "z1", {})
    for name in ("status", "down", "weight"):
        plain = {key: text for key, text in metadatas[name].items() if key != "instance_status"}
        assert dict(found[name].metadata) == plain
    for name in metadatas:
        client.override("java", name, status="OUT_OF_SERVICE", weight=5.0, timeout=LIMIT)
    for told in peer.ask("list", base, "java", kind="spring"):
        assert (told["enabled"], told["metadata"]["instance_status"]) == (False, "OUT_OF_SERVICE")
        for key, text in found[told["id"]].metadata.items():
            assert told["metadata"][key] == text
    for name in metadatas:
        client.clear_override("java", name, timeout=LIMIT)
    after = peer.ask("list", base, "java", kind="spring")
    for told in (*before, *after):
        told["metadata"].setdefault("instance_status", "UP")  # a write says it
        told["enabled"] = "UP" in told["metadata"]["instance_status"]
    assert after == before


def test_a_foreign_object_beside_the_instances_harms_java_alone(
    peer: Peer, client: Client, truth: Truth, base: str
) -> None:
    """Why nothing else may stand there."""
    truth.create(f"{base}/payments/a", CODEC.encode(PLAIN))
    truth.create(f"{base}/payments/b", b'{"address": "10.0.0.7", "port": 8080, "payload": {"mine": 1}}')
    with pytest.raises(RuntimeError, match="Cannot cast"):
        peer.ask("list", base, "payments", kind="spring")
    assert [instance.id for instance in client.instances("payments", LIMIT)] == ["a", "b"]


def test_a_base_path_of_curators(peer: Peer, make_client: MakeClient, namespace: str) -> None:
    base = f"{namespace}-discovery"
    client = make_client(base_path=base)
    client.register("payments", 8080, host="10.0.0.7", id="python").wait_registered(LIMIT)
    peer.ask("register", base, "payments", kind="spring", type="DYNAMIC", id="java", address="10.0.0.8", port=1,
             metadata={})  # fmt: skip
    assert [instance.id for instance in client.instances("payments", LIMIT)] == ["java", "python"]
    assert {found["id"] for found in peer.ask("list", base, "payments", kind="spring")} == {"java", "python"}
