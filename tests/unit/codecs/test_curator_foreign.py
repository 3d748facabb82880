"""CuratorCodec: what others wrote, from Java to garbage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkdiscovery.codecs import MAX_DATA_BYTES, CuratorCodec
from zkdiscovery.errors import InvalidInstance, UndecodableNode
from zkdiscovery.model import Instance, Status

CODEC = CuratorCodec()
HYPOTHESIS = settings(max_examples=300, deadline=None, derandomize=True)
SPRING = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"


def node(**fields: Any) -> bytes:
    """What Curator's default serializer writes, with some fields replaced."""
    plain = {
        "name": "orders",
        "id": "6f1c",
        "address": "10.0.0.7",
        "port": 8080,
        "sslPort": None,
        "payload": None,
        "registrationTimeUTC": 1_700_000_000_000,
        "serviceType": "DYNAMIC",
        "uriSpec": None,
    }
    return json.dumps(plain | fields, separators=(",", ":")).encode()


def spring(metadata: Any, **fields: Any) -> bytes:
    return node(payload={"@class": SPRING, "id": "orders-1", "name": "orders", "metadata": metadata}, **fields)


def decode(data: bytes) -> Instance:
    return CODEC.decode("orders", "6f1c", data)


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
        "tags": "a,,b",
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
        "metadata": {"instance_status": "UP", "weight": "1.0", "zone": "z1", "tags": "c", "": "x", "gone": "back"},
    }
    assert result["custom"] == 1
    assert "serviceEndpoint" not in result
    assert "zkdiscovery" not in result


def test_a_status_that_we_do_not_know_is_overwritten_and_the_rest_kept() -> None:
    data = spring({"status": "RETIRED", "gone": None, "weight": "heavy"}, custom=1)
    instance = Instance("orders", "h", 1, id="6f1c", weight=2)
    written = CODEC.encode(instance, previous=data)
    assert decode(written) == instance
    assert json.loads(written)["custom"] == 1
    metadata = json.loads(written)["payload"]["metadata"]
    assert metadata == {"gone": None, "instance_status": "UP", "weight": "2"}


@pytest.mark.parametrize("blank", ["", " ", "\u2003"])
def test_a_blank_text_counts_as_not_given(blank: str) -> None:
    instance = decode(spring({"zone": blank, "version": blank, "tags": f"a,{blank}"}))
    assert (instance.zone, instance.version, instance.tags) == (None, None, ("a",))


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
        (spring({"status": "DRAINING", "instance_status": "OUT_OF_SERVICE"}, enabled=False), Status.DRAINING),
        (spring({"status": "DRAINING", "instance_status": "UP"}), Status.DRAINING),
        (spring({"status": "UP", "instance_status": "OUT_OF_SERVICE"}), Status.OUT_OF_SERVICE),
        (node(enabled=False), Status.OUT_OF_SERVICE),
        (node(), Status.UP),
    ],
)
def test_of_two_statuses_the_more_careful_one_counts(data: bytes, status: Status) -> None:
    assert decode(data).status is status


def test_a_status_that_we_do_not_know_is_no_instance() -> None:
    with pytest.raises(UndecodableNode, match=r"status must be one of STARTING, UP.*got 'RETIRED'"):
        decode(spring({"status": "RETIRED"}))


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
def test_ports_that_are_no_such_list_count_as_none(text: str) -> None:
    assert decode(spring({"ports": text})).ports == {}


def test_ports_are_read() -> None:
    assert decode(spring({"ports": "metrics=9100,admin=9101"})).ports == {"metrics": 9100, "admin": 9101}


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
        (node(port=None), "neither port nor sslPort"),
        (node(port=0), "port: "),
        (node(port=65536), "port: "),
        (node(port="8080"), "port: Input should be a valid integer"),
        (node(port=80.0), "port: Input should be a valid integer"),
        (node(port=True), "port: Input should be a valid integer"),
        (node(port=10**400), "port: "),
        (node(sslPort=0), "sslPort: "),
        (node(enabled="no"), "enabled: "),
        (node(registrationTimeUTC="now"), "registrationTimeUTC: "),
        (node(registrationTimeUTC=10**18), "registrationTimeUTC: "),
        (node(registrationTimeUTC=float("nan")), "registrationTimeUTC: "),
        (spring({"zone": "a\x00b"}), "zone must not"),
        (spring({"version": "a\nb"}), "version must not"),
        (spring({"tags": "a,\x1bb"}), "a tag must not"),
    ],
    ids=range(27),
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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
_texts = st.text(max_size=20) | st.sampled_from(["UP", "DRAINING", "OUT_OF_SERVICE", "1", "a=1", "a,b"])
_metadata = st.dictionaries(
    st.sampled_from(["instance_status", "status", "weight", "zone", "version", "tags", "ports", "x", ""]),
    _texts | json_values,
)
_payloads = json_values | st.fixed_dictionaries(
    {"@class": st.just(SPRING) | json_values}, optional={"metadata": _metadata | json_values, "id": json_values}
)
_mutations = st.fixed_dictionaries(
    {},
    optional={
        "name": json_values,
        "address": json_values | st.just("h") | st.text(max_size=10),
        "port": json_values | st.integers(-1, 65537),
        "sslPort": json_values | st.integers(-1, 65537),
        "payload": _payloads,
        "registrationTimeUTC": json_values | st.integers(-1, 10**15),
        "enabled": json_values,
        "zkdiscovery": _metadata | json_values,
        "serviceEndpoint": json_values,
        "uriSpec": json_values,
    },
)


def try_decode(data: bytes) -> Instance | None:
    """The instance, or None for UndecodableNode. Everything else is a failure."""
    try:
        return decode(data)
    except UndecodableNode:
        return None


@HYPOTHESIS
@given(st.binary(max_size=200))
def test_random_bytes_are_undecodable_and_nothing_worse(data: bytes) -> None:
    assert try_decode(data) is None


@HYPOTHESIS
@given(json_values)
def test_random_json_is_undecodable_and_nothing_worse(value: Any) -> None:
    assert try_decode(json.dumps(value).encode()) is None


@HYPOTHESIS
@given(st.data())
def test_valid_bytes_with_some_replaced_are_decoded_or_refused(data: st.DataObject) -> None:
    valid = bytearray(spring({"zone": "z", "weight": "2", "tags": "a"}, enabled=True))
    for _ in range(data.draw(st.integers(1, 4))):
        valid[data.draw(st.integers(0, len(valid) - 1))] = data.draw(st.integers(0, 255))
    instance = try_decode(bytes(valid))
    assert instance is None or instance.with_() == instance


@HYPOTHESIS
@given(_mutations)
def test_what_is_decoded_is_valid_and_can_be_written_back(fields: dict[str, Any]) -> None:
    data = json.dumps(json.loads(node()) | fields).encode()
    instance = try_decode(data)
    if instance is None:
        return
    assert instance.with_() == instance  # passes every check of the model
    changed = instance.with_(status=Status.DRAINING, weight=3.5, metadata={"a": "b"})
    for wanted in (instance, changed):
        written = CODEC.encode(wanted, previous=data)
        assert decode(written) == wanted
        before, after = json.loads(data), json.loads(written)
        assert after["name"] == before["name"]
        payload = before["payload"]
        if not (isinstance(payload, dict) and payload.get("@class") == SPRING):
            assert after["payload"] == payload


def test_writing_the_same_over_values_that_are_no_texts_changes_no_byte() -> None:
    """A reserved key that held null gets a text; the order stays the same from then on."""
    stored = spring({"instance_status": None, "": "x", "n": 1})
    first = CODEC.encode(decode(stored), previous=stored)
    assert CODEC.encode(decode(first), previous=first) == first
    assert json.loads(first)["payload"]["metadata"] == {"instance_status": "UP", "": "x", "n": 1}
