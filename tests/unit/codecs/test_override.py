"""An operator's override beside the instance in one znode."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.errors import InvalidInstance, UndecodableNode
from zkdiscovery.model import Instance, Override, Status

CODEC = CuratorCodec()
HYPOTHESIS = settings(max_examples=200, deadline=None, derandomize=True)

OWNED = Instance("orders", "10.0.0.7", 8080, id="6f1c", status=Status.STARTING, weight=2.0, registered_at=1.7e9)
ASIDE = Override(Status.OUT_OF_SERVICE, None, Status.STARTING, 2.0)
HEAVY = Override(None, 5.0, Status.STARTING, 2.0)
BOTH = Override(Status.UP, 0.0, Status.STARTING, 2.0)


@pytest.mark.parametrize("override", [ASIDE, HEAVY, BOTH])
def test_an_override_is_stored_beside_its_effect(override: Override) -> None:
    before = CODEC.encode(OWNED)
    assert read(before).override is None
    data = CODEC.encode(override.above(OWNED), before)
    assert read(data).override == override
    assert read(data) == override.above(OWNED)
    assert read(data).own == OWNED
    # The same again is the same bytes: a write whose answer was lost is seen to have happened.
    assert CODEC.encode(override.above(OWNED), data) == data
    # An override that is not given is gone, whatever stood there.
    cleared = CODEC.encode(OWNED, data)
    assert read(cleared) == OWNED
    assert cleared == before


def read(data: bytes) -> Instance:
    return CODEC.decode("orders", "6f1c", data)


def test_what_each_override_changes() -> None:
    assert ASIDE.above(OWNED) == OWNED.with_(status=Status.OUT_OF_SERVICE, override=ASIDE)
    assert HEAVY.above(OWNED) == OWNED.with_(weight=5, override=HEAVY)
    assert BOTH.above(OWNED) == OWNED.with_(status=Status.UP, weight=0, override=BOTH)
    # What the owner changed itself below an override stays.
    assert ASIDE.above(OWNED).with_(weight=7).own == OWNED.with_(weight=7)
    assert HEAVY.above(OWNED).with_(status=Status.UP).own == OWNED.with_(status=Status.UP)
    # An override remembers what the owner wants now.
    assert HEAVY.above(OWNED.with_(status=Status.UP, weight=3)).override == Override(None, 5.0, Status.UP, 3.0)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (ASIDE, "OUT_OF_SERVICE instead of STARTING"),
        (HEAVY, "weight 5 instead of 2"),
        (BOTH, "UP instead of STARTING, weight 0 instead of 2"),
    ],
)
def test_an_override_in_words(override: Override, words: str) -> None:
    assert str(override) == words


def test_what_is_no_override_is_refused() -> None:
    with pytest.raises(InvalidInstance, match="give a status, a weight, or both"):
        Override()
    for values in ({"status": "ASLEEP"}, {"weight": -1.0}, {"weight": 1.0, "base_weight": True}):
        with pytest.raises(InvalidInstance, match="must be"):
            Override(**values)  # type: ignore[arg-type]
    with pytest.raises(InvalidInstance, match="override must be an Override"):
        OWNED.with_(override="DOWN")


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
    aside = Override(Status.OUT_OF_SERVICE).above(instance)
    written = CODEC.encode(aside, data)
    assert read(written) == aside
    assert json.loads(written).items() >= java.items()
    assert json.loads(written)["enabled"] is False
    assert CODEC.encode(aside, written) == written


def read_override(data: bytes) -> Override | None:
    """The override in a node that may hold anything."""
    try:
        return read(data).override
    except UndecodableNode:
        return None


PLAIN = json.loads(CODEC.encode(HEAVY.above(OWNED)))
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
    assert read_override(json.dumps(PLAIN).encode()) == HEAVY
    spoilt = PLAIN | {WHERE: PLAIN[WHERE] | change}
    assert read_override(json.dumps(spoilt).encode()) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(Status),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@HYPOTHESIS
@given(st.binary(max_size=100) | _json.map(lambda value: json.dumps(value).encode()))
def test_bytes_that_hold_no_instance_hold_no_override(data: bytes) -> None:
    assert read_override(data) is None


@HYPOTHESIS
@given(_json | st.fixed_dictionaries({}, optional=dict.fromkeys(PLAIN[WHERE], _json)))
def test_an_override_that_is_read_can_be_applied(value: Any) -> None:
    override = read_override(json.dumps(PLAIN | {WHERE: value}).encode())
    if override is not None:
        assert override.above(OWNED).own == OWNED
