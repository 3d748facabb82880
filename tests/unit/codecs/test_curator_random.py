"""CuratorCodec: random values, JSON and bytes lose no instance and are never worse than undecodable."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.codecs.payloads import CODEC, HYPOTHESIS, SPRING, decode, node, spring
from zkdiscovery.errors import UndecodableNode
from zkdiscovery.model import Instance, Override, Status

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


_texts = st.text(max_size=20) | st.sampled_from(["UP", "DRAINING", "OUT_OF_SERVICE", "1", "a=1", "a,b"])


_metadata = st.dictionaries(
    st.sampled_from(
        ["instance_status", "status", "weight", "zone", "version", "tags", "ports", "x", ""]
        + [f"zkdiscovery.{name}" for name in ("status", "weight", "zone", "version", "tags", "ports", "x")]
    ),
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


_words = st.text(max_size=12) | st.sampled_from(["UP", "up", "green", "DOWN", "1", "0", "heavy", "a=1", "a,b", "\x00"])


_names = st.sampled_from(["status", "version", "tags", "ports", "weight", "zone", "instance_status", "override"])


@settings(HYPOTHESIS, max_examples=150)
@given(
    st.dictionaries(_names | st.text(min_size=1, max_size=8), _words, max_size=6),
    st.sampled_from([SPRING, "com.example.Details"]),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            [
                *("name", "id", "sslPort", "registrationTimeUTC", "serviceType", "uriSpec", "enabled"),
                *("status", "host", "override", "zkdiscoveryOverride"),
            ],
            json_values,
        ),
    ),
    st.sampled_from(Status),
    st.none() | st.floats(0, 100),
)
def test_nothing_foreign_loses_an_instance_or_is_lost(
    metadata: dict[str, str], kind: str, fields: dict[str, Any], status: Status, weight: float | None
) -> None:
    """With an address and a port it can be called; an operator's override and its end leave foreign text as it was."""
    data = node(payload={"@class": kind, "metadata": metadata}, **fields)
    instance = decode(data)
    assert (instance.host, instance.port) == ("10.0.0.7", 8080)
    foreign = {key: text for key, text in metadata.items() if key not in {"instance_status", "weight", "zone"}}
    assert instance.metadata.items() >= foreign.items()
    overridden = Override(status, weight).above(instance)
    written = CODEC.encode(overridden, previous=data)
    assert decode(written) == overridden
    cleared = CODEC.encode(instance.own, previous=written)
    assert decode(cleared) == instance.own
    for result in map(json.loads, (written, cleared)):
        assert result["payload"]["metadata"].items() >= instance.metadata.items()
        before = json.loads(data)
        assert all(result[key] == before[key] for key in before.keys() - {"payload", "enabled", "zkdiscoveryOverride"})


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
