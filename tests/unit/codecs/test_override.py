"""An operator's override beside the instance in one znode."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkdiscovery.codecs import CuratorCodec, Override
from zkdiscovery.model import Instance, Status

CODEC = CuratorCodec()
HYPOTHESIS = settings(max_examples=200, deadline=None, derandomize=True)

OWNED = Instance("orders", "10.0.0.7", 8080, id="6f1c", status=Status.STARTING, weight=2.0, registered_at=1.7e9)
ASIDE = Override(Status.OUT_OF_SERVICE, None, Status.STARTING, 2.0)
HEAVY = Override(None, 5.0, Status.STARTING, 2.0)
BOTH = Override(Status.UP, 0.0, Status.STARTING, 2.0)


@pytest.mark.parametrize("override", [ASIDE, HEAVY, BOTH])
def test_an_override_is_stored_beside_its_effect(override: Override) -> None:
    before = CODEC.encode(OWNED)
    assert CODEC.read_override(before) is None
    data = CODEC.encode(override.above(OWNED), before, override)
    assert CODEC.read_override(data) == override
    assert CODEC.decode("orders", "6f1c", data) == override.above(OWNED)
    assert override.below(CODEC.decode("orders", "6f1c", data)) == OWNED
    # The same again is the same bytes: a write whose answer was lost is seen to have happened.
    assert CODEC.encode(override.above(OWNED), data, override) == data
    # An override that is not given is gone, whatever stood there.
    cleared = CODEC.encode(OWNED, data)
    assert CODEC.read_override(cleared) is None
    assert CODEC.decode("orders", "6f1c", cleared) == OWNED


def test_what_each_override_changes() -> None:
    assert ASIDE.above(OWNED) == OWNED.with_(status=Status.OUT_OF_SERVICE)
    assert HEAVY.above(OWNED) == OWNED.with_(weight=5)
    assert BOTH.above(OWNED) == OWNED.with_(status=Status.UP, weight=0)
    # What the owner changed itself below an override stays.
    assert ASIDE.below(OWNED.with_(status=Status.OUT_OF_SERVICE, weight=7)) == OWNED.with_(weight=7)
    assert HEAVY.below(OWNED.with_(status=Status.UP, weight=5)) == OWNED.with_(status=Status.UP)


def test_an_override_of_an_instance_that_java_wrote() -> None:
    java = {
        "name": "orders",
        "id": "6f1c",
        "address": "h",
        "port": 1,
        "sslPort": None,
        "payload": ["java.lang.Long", 7],
    }
    data = json.dumps(java).encode()
    instance = CODEC.decode("orders", "6f1c", data)
    override = Override(Status.OUT_OF_SERVICE, None, instance.status, instance.weight)
    written = CODEC.encode(override.above(instance), data, override)
    assert CODEC.read_override(written) == override
    assert json.loads(written).items() >= java.items()
    assert json.loads(written)["enabled"] is False
    assert CODEC.encode(override.above(instance), written, override) == written


PLAIN = json.loads(CODEC.encode(HEAVY.above(OWNED), None, HEAVY))
[WHERE] = [key for key in PLAIN if key not in json.loads(CODEC.encode(OWNED))]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "RETIRED"},
        {"status": 7},
        {"status": []},
        {"weight": -1},
        {"weight": "5"},
        {"weight": True},
        {"weight": 1e400},
        {"baseStatus": None},
        {"baseStatus": "x"},
        {"baseWeight": None},
        {"baseWeight": -1},
    ],
    ids=str,
)
def test_an_override_that_makes_no_sense_is_none(change: dict[str, Any]) -> None:
    assert CODEC.read_override(json.dumps(PLAIN).encode()) == HEAVY
    spoilt = PLAIN | {WHERE: PLAIN[WHERE] | change}
    assert CODEC.read_override(json.dumps(spoilt).encode()) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(Status),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@HYPOTHESIS
@given(st.binary(max_size=100) | _json.map(lambda value: json.dumps(value).encode()))
def test_bytes_that_hold_no_instance_hold_no_override(data: bytes) -> None:
    assert CODEC.read_override(data) is None


@HYPOTHESIS
@given(_json | st.fixed_dictionaries({}, optional=dict.fromkeys(PLAIN[WHERE], _json)))
def test_an_override_that_is_read_can_be_applied(value: Any) -> None:
    override = CODEC.read_override(json.dumps(PLAIN | {WHERE: value}).encode())
    if override is not None:
        assert override.below(override.above(OWNED)).status in {OWNED.status, override.base_status}
