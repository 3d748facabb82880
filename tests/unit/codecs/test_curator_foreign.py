"""CuratorCodec: what others wrote, from Java to garbage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.codecs.payloads import CODEC, SPRING, decode, node, spring
from zkdiscovery.codecs import MAX_DATA_BYTES
from zkdiscovery.errors import InvalidInstance, UndecodableNode
from zkdiscovery.model import Instance, Override, Status

# As Curator 5.4.0 with Jackson 2.14 writes payloads of these types.
FOREIGN_PAYLOADS = [
    None,
    "text",
    7,
    1.5,
    True,
    ["java.lang.Long", 7],
    ["java.util.ArrayList", ["a", 1, ["java.lang.Long", 2]]],
    ["java.util.Date", 5],
    {"@class": "java.util.HashMap", "metadata": {"zone": "z1", "owner": "me"}},
    {"@class": "com.example.Details", "metadata": {"nested": {"a": 1}, "n": 5, "s": "text"}, "other": [1, 2]},
    {"no": "class"},
    {"@class": ["not", "a", "string"]},
    {"@class": None, "metadata": "not a map"},
]


@pytest.mark.parametrize("payload", FOREIGN_PAYLOADS, ids=repr)
def test_a_foreign_payload_is_read_and_survives_a_write_back(payload: Any) -> None:
    data = node(payload=payload, extra={"kept": [1]}, serviceType="PERMANENT")
    instance = decode(data)
    assert (instance.host, instance.port, instance.status) == ("10.0.0.7", 8080, Status.UP)
    changed = instance.with_(status=Status.DRAINING, weight=0.5, zone="z9", tags=["t"], metadata={"mine": "1"})
    written = CODEC.encode(changed, previous=data)
    assert decode(written) == changed
    result, before = json.loads(written), json.loads(data)
    assert result["payload"] == payload
    assert result["enabled"] is False
    assert {key: result[key] for key in before} == before
    assert set(result) - set(before) == {"enabled", "zkdiscovery"}
    # And back: enabled is said aloud now.
    up = changed.with_(status=Status.UP)
    written = CODEC.encode(up, previous=written)
    assert decode(written) == up
    assert json.loads(written)["enabled"] is True
    assert json.loads(written)["payload"] == payload


def test_the_strings_of_a_foreign_payloads_metadata_are_read() -> None:
    instance = decode(node(payload={"@class": "x.Y", "metadata": {"zone": "z1", "owner": "me", "n": 5, "": "empty"}}))
    assert instance.zone == "z1"
    assert instance.metadata == {"owner": "me"}


def test_springs_payload_is_read_and_keeps_what_an_instance_can_not_show() -> None:
    metadata = {
        "instance_status": "UP",
        "owner": "me",
        "weight": "1.0",
        "zkdiscovery.tags": "a,,b",
        "gone": None,
        "": "x",
        "zone": "",
    }
    data = spring(metadata, custom=1)
    instance = decode(data)
    assert instance == Instance(
        "orders", "10.0.0.7", 8080, id="6f1c", tags=("a", "b"), metadata={"owner": "me"}, registered_at=1_700_000_000
    )
    assert json.loads(CODEC.encode(instance, previous=data)) == json.loads(data)
    changed = instance.with_(zone="z1", tags=("c",), metadata={"gone": "back"})
    written = CODEC.encode(changed, previous=data)
    assert decode(written) == changed
    result = json.loads(written)
    assert result["payload"] == {
        "@class": SPRING,
        "id": "orders-1",
        "name": "orders",
        "metadata": {
            "instance_status": "UP",
            "weight": "1.0",
            "zone": "z1",
            "zkdiscovery.tags": "c",
            "": "x",
            "gone": "back",
        },
    }
    assert result["custom"] == 1
    assert "serviceEndpoint" not in result
    assert "zkdiscovery" not in result


@pytest.mark.parametrize("blank", ["", " ", "\u2003"])
def test_a_blank_text_counts_as_not_given(blank: str) -> None:
    data = spring({"zone": blank, "weight": blank, "zkdiscovery.version": blank, "zkdiscovery.tags": f"a,{blank}"})
    instance = decode(data)
    assert instance == Instance("orders", "10.0.0.7", 8080, id="6f1c", tags=("a",), registered_at=1_700_000_000), (
        "and it is no metadata either"
    )
    written = json.loads(CODEC.encode(instance, previous=data))
    assert written["payload"]["metadata"] == {"instance_status": "UP"} | json.loads(data)["payload"]["metadata"]


@pytest.mark.parametrize("metadata", [None, [], "text", 5, {"instance_status": 7}])
def test_springs_payload_with_unusable_metadata_is_an_instance_without(metadata: Any) -> None:
    data = spring(metadata)
    instance = decode(data)
    assert instance.metadata == {}
    assert instance.status is Status.UP
    changed = instance.with_(status=Status.DOWN)
    assert decode(CODEC.encode(changed, previous=data)) == changed


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (spring({"instance_status": "UP"}), Status.UP),
        (spring({"instance_status": "up"}), Status.UP),
        (spring({}), Status.UP),
        (spring({"instance_status": "OUT_OF_SERVICE"}), Status.OUT_OF_SERVICE),
        (spring({"instance_status": "UNHEARD_OF"}), Status.OUT_OF_SERVICE),
        (spring({"instance_status": "UP"}, enabled=False), Status.OUT_OF_SERVICE),
        (spring({"instance_status": "UP"}, enabled=None), Status.OUT_OF_SERVICE),  # so does Java read null
        (spring({"instance_status": "UP"}, enabled=True), Status.UP),
        (spring({"instance_status": "OUT_OF_SERVICE"}, enabled=True), Status.OUT_OF_SERVICE),
        (
            spring({"zkdiscovery.status": "DRAINING", "instance_status": "OUT_OF_SERVICE"}, enabled=False),
            Status.DRAINING,
        ),
        (spring({"zkdiscovery.status": "DRAINING", "instance_status": "UP"}), Status.DRAINING),
        (spring({"zkdiscovery.status": "UP", "instance_status": "OUT_OF_SERVICE"}), Status.OUT_OF_SERVICE),
        (spring({"zkdiscovery.status": "RETIRED"}), Status.UP),
        (spring({"zkdiscovery.status": "RETIRED", "weight": "0"}, enabled=False), Status.OUT_OF_SERVICE),
        (spring({"weight": "0"}), Status.UP),
        (spring({"weight": "0", "instance_status": "OUT_OF_SERVICE"}), Status.OUT_OF_SERVICE),
        (node(enabled=False), Status.OUT_OF_SERVICE),
        (node(), Status.UP),
    ],
)
def test_of_two_statuses_the_more_careful_one_counts(data: bytes, status: Status) -> None:
    assert decode(data).status is status


# Metadata that Spring Boot applications have of their own, under names that say something to us or once did.
FOREIGN_METADATA = [
    {"status": "green"},
    {"status": "up"},
    {"status": "DOWN"},
    {"status": "DRAINING", "version": "1\n2", "tags": "a,\x1bb", "ports": "8080,8081"},
    {"tags": "a,b", "version": "1.2", "ports": "metrics=9100"},
    {"zone": "a\x00b"},
    {"weight": "heavy"},
    {"weight": "1_000"},
    {"weight": " 5"},
    {"weight": "heavy", "zone": "\n"},
    {"zkdiscovery": "yes", "ZKDISCOVERY.STATUS": "DOWN"},
]


@pytest.mark.parametrize("metadata", FOREIGN_METADATA, ids=repr)
@pytest.mark.parametrize("where", ["Spring's", "another's"])
def test_foreign_text_under_a_name_of_ours_is_plain_metadata(metadata: dict[str, str], where: str) -> None:
    kind = SPRING if where == "Spring's" else "com.example.Details"
    data = node(payload={"@class": kind, "metadata": {"instance_status": "UP", **metadata}})
    instance = decode(data)
    shown = {key: value for key, value in metadata.items() if value.strip()}
    assert instance == Instance("orders", "10.0.0.7", 8080, id="6f1c", metadata=shown, registered_at=1_700_000_000)
    # It stays as it is whatever an operator does, and all of that is undone.
    for override in (Override("DOWN"), Override(weight=5.0), Override("UP", 0.0)):  # type: ignore[arg-type]
        overridden = override.above(instance)
        written = CODEC.encode(overridden, previous=data)
        assert decode(written) == overridden
        if where == "Spring's":
            assert json.loads(written)["payload"]["metadata"].items() >= metadata.items()
        else:
            assert json.loads(written)["payload"] == json.loads(data)["payload"]
        cleared = CODEC.encode(overridden.own, previous=written)
        assert decode(cleared) == instance
        assert json.loads(cleared)["payload"] == json.loads(data)["payload"]


def test_foreign_text_that_we_must_write_beside() -> None:
    """The weight of an override stands where our readers look first, and is gone with it."""
    data = spring({"instance_status": "UP", "weight": "heavy"})
    written = CODEC.encode(decode(data).with_(weight=5), previous=data)
    metadata = json.loads(written)["payload"]["metadata"]
    assert metadata == {"instance_status": "UP", "weight": "heavy", "zkdiscovery.weight": "5"}
    # Its owner writes a weight after all, and ours is taken back: the default is told from the owner's weight.
    both = written.replace(b'"heavy"', b'"3"')
    assert (decode(both).weight, decode(both).metadata) == (5, {"weight": "3"})
    changes: list[dict[str, Any]] = [{"weight": 7.0}, {"weight": 1.0}, {"metadata": {}}]
    for change in changes:
        wanted = decode(both).with_(**change)
        assert decode(CODEC.encode(wanted, previous=both)) == wanted


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"address": "[::1]"}, {"host": "::1"}),
        ({"address": "[fe80::1%eth0]"}, {"host": "fe80::1%eth0"}),
        ({"port": "8081"}, {"port": 8081}),
        ({"port": 8081.0}, {"port": 8081}),
        ({"port": 0, "sslPort": 8443}, {"port": 8443, "tls_port": 8443}),
        ({"port": -1, "sslPort": "8443"}, {"port": 8443, "tls_port": 8443}),
        ({"sslPort": 0}, {}),
        ({"sslPort": -1}, {}),
        ({"sslPort": "x"}, {}),
        ({"sslPort": {}}, {}),
        ({"registrationTimeUTC": "now"}, {"registered_at": None}),
        ({"registrationTimeUTC": "1500"}, {"registered_at": 1.5}),
        ({"registrationTimeUTC": 1500.4}, {"registered_at": 1.5}),
        ({"registrationTimeUTC": 10**18}, {"registered_at": None}),
        ({"registrationTimeUTC": 10**400}, {"registered_at": None}),
        ({"registrationTimeUTC": -1e300}, {"registered_at": None}),
        ({"registrationTimeUTC": True}, {"registered_at": None}),
        ({"registrationTimeUTC": []}, {"registered_at": None}),
        ({"enabled": "true"}, {}),
        ({"enabled": 1}, {}),
        ({"enabled": "no"}, {"status": Status.OUT_OF_SERVICE}),
        ({"enabled": 0}, {"status": Status.OUT_OF_SERVICE}),
        ({"enabled": []}, {"status": Status.OUT_OF_SERVICE}),
        ({"serviceType": "UNHEARD_OF"}, {}),
        ({"serviceType": 7, "uriSpec": "text", "name": 7, "id": [], "payload": [[]]}, {}),
        ({"zkdiscoveryOverride": "mine"}, {}),
        ({"override": {"status": "DOWN", "weight": None, "baseStatus": "UP", "baseWeight": 1}}, {}),
    ],
    ids=str,
)
def test_what_java_or_a_careless_writer_says_differently(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Only what can't be called is no instance; what is written back stays as it is."""
    plain = Instance("orders", "10.0.0.7", 8080, id="6f1c", registered_at=1_700_000_000)
    data = node(**fields)
    instance = decode(data)
    assert instance == plain.with_(**expected)
    changed = instance.with_(zone="z")
    written = CODEC.encode(changed, previous=data)
    assert decode(written) == changed
    after = json.loads(written)
    assert after.pop("zkdiscovery")["zone"] == "z"
    assert after == {key: value for key, value in json.loads(data).items() if key != "zkdiscoveryOverride"}


@pytest.mark.parametrize(
    ("text", "weight"),
    [("5", 5), ("0", 0), ("0.5", 0.5), ("heavy", 1), ("-1", 1), ("NaN", 1), ("Infinity", 1), ("", 1), ("1" * 5000, 1)],
)
def test_a_weight_that_is_none_counts_as_one(text: str, weight: float) -> None:
    data = spring({"weight": text})
    instance = decode(data)
    assert instance.weight == weight
    assert json.loads(CODEC.encode(instance, previous=data))["payload"]["metadata"]["weight"] == text


@pytest.mark.parametrize("text", ["", "8080,8081", "a=0", "a=x", "=5", "a=1" + "0" * 5000, "a=1,,b=2"])
def test_ports_of_ours_that_are_no_such_list_count_as_none_and_stay(text: str) -> None:
    data = spring({"instance_status": "UP", "zkdiscovery.ports": text})
    instance = decode(data)
    assert (instance.ports, instance.metadata) == ({}, {})
    assert CODEC.encode(instance, previous=data) == data


def test_ports_are_read() -> None:
    ports = decode(spring({"zkdiscovery.ports": "metrics=9100,admin=9101"})).ports
    assert ports == {"metrics": 9100, "admin": 9101}


def test_only_a_tls_port_is_both_ports_and_stays_alone_in_the_json() -> None:
    data = node(port=None, sslPort=8443)
    instance = decode(data)
    assert (instance.port, instance.tls_port, instance.url) == (8443, 8443, "https://10.0.0.7:8443")
    written = json.loads(CODEC.encode(instance.with_(weight=2), previous=data))
    assert (written["port"], written["sslPort"], written["uriSpec"]) == (None, 8443, None)
    written = json.loads(CODEC.encode(instance.with_(port=8080), previous=data))
    assert (written["port"], written["sslPort"]) == (8080, 8443)


@pytest.mark.parametrize(("time", "registered_at"), [(0, None), (None, None), (-5, None), (1.7e12, 1.7e9), (1500, 1.5)])
def test_registration_times(time: float | None, registered_at: float | None) -> None:
    assert decode(node(registrationTimeUTC=time)).registered_at == registered_at


def test_fields_that_may_be_missing() -> None:
    instance = decode(b'{"address":"h","port":1}')
    assert instance == Instance("orders", "h", 1, id="6f1c")
    assert decode(CODEC.encode(instance, previous=b'{"address":"h","port":1}')) == instance


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"null", "object"),
        (b"[]", "object"),
        (b"{}", "address: Field required"),
        (b"[" * MAX_DATA_BYTES, "recursion limit"),
        (b'{"a":' * (MAX_DATA_BYTES // 5), "recursion limit"),
        (node(address=None), "address: Input should be a valid string"),
        (node(address=""), "host must not be empty"),
        (node(address="http://h:80/"), "host must be a host name"),
        (node(address="h\x00"), "host must not be empty or contain control characters"),
        (node(address="\ud800"), "Invalid JSON"),
        (node(port=None), "neither port nor sslPort is a TCP port"),
        (node(port=0), "neither port nor sslPort"),
        (node(port=65536), "neither port nor sslPort"),
        (node(port="http"), "neither port nor sslPort"),
        (node(port=80.5), "neither port nor sslPort"),
        (node(port=True), "neither port nor sslPort"),
        (node(port=10**400), "neither port nor sslPort"),
        (node(port=0, sslPort=-1), "neither port nor sslPort"),
        (node(address="[::1"), "host must be a host name"),
        (node(address="[h]"), "host must be a host name"),
    ],
    ids=range(22),
)
def test_what_is_no_instance_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(UndecodableNode) as caught:
        decode(data)
    message = str(caught.value)
    assert message.startswith("'6f1c' of 'orders' is no instance in Curator's format: ")
    assert reason in message
    assert len(message) < 400
    assert message.isprintable()


@pytest.mark.parametrize(
    "previous",
    [b"", b"garbage", b"[1]", b"{}", b'{"other":1}', b"[" * 50_000, b'{"address":1}' + b" " * MAX_DATA_BYTES],
)
def test_what_is_no_instance_is_overwritten(previous: bytes) -> None:
    instance = Instance("orders", "h", 1)
    assert CODEC.encode(instance, previous=previous) == CODEC.encode(instance)


def test_a_number_that_json_has_no_word_for_is_not_overwritten_with_a_wrong_one() -> None:
    data = b'{"address":"h","port":1,"payload":1e400}'
    instance = decode(data)
    with pytest.raises(InvalidInstance, match="over what others stored there"):
        CODEC.encode(instance, previous=data)
