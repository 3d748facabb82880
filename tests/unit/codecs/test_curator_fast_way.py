"""The fast way of reading: what it takes, the general one takes for the same, whatever the bytes are."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.codecs.test_curator import CODEC, instances
from zkdiscovery.codecs import curator_reader
from zkdiscovery.errors import UndecodableNode
from zkdiscovery.model import Instance, Status

HYPOTHESIS = settings(max_examples=400, deadline=None, derandomize=True)
PLAIN = Instance("orders", "10.0.0.7", 8080, id="6f1c", metadata={"a": "b"}, registered_at=1_700_000_000.123)

_words = st.text(max_size=5) | st.sampled_from(["a", "", "é", "\x00", "::1", "a b", "/", "\\", "\\u0041", '"', "😀"])
_numbers = st.integers(-1, 10**15).map(str) | st.sampled_from(
    ["0", "08080", "65535", "65536", "1.0", "1e3", "null", ""]
)
_texts = st.dictionaries(
    st.sampled_from(
        ["status", "instance_status", "weight", "zone", "a", "", "{"]
        + [f"zkdiscovery.{name}" for name in ("status", "weight", "zone", "tags", "ports", "x")]
    ),
    _words | st.sampled_from([*Status, "0", "2", "a=1", "a,b"]),
    max_size=4,
)
_members = st.one_of(
    _texts.map(lambda texts: json.dumps(texts)[1:-1]),
    st.sampled_from(
        ['"a":1', '"a":1,"a":"b"', '"a":"b","a":"c"', '"a":"b",', ' "a" : "b"\n', '"a":["b"]', '"a"', '"', "},{", "\\"]
    ),
    st.text(max_size=8),
)


def both(data: bytes) -> Instance | None:
    """What the fast way makes of it; None if that does not take it."""

    def general() -> Instance | None:
        try:
            return curator_reader._any("orders", "6f1c", data)
        except ValueError:  # InvalidInstance and ValidationError are some
            return None

    fast = curator_reader._plain("orders", "6f1c", data)
    if fast is not None:
        assert fast == general()
        assert repr(fast) == repr(general()), "of the same types"
        assert fast.with_() == fast, "passes all checks"
    return fast


def test_plain_instances_of_ours_are_read_fast() -> None:
    """Else the rest would show nothing."""
    for instance in (PLAIN, PLAIN.with_(zone="z", weight=2.0), PLAIN.with_(metadata={}, registered_at=None)):
        assert both(CODEC.encode(instance)) == instance


@HYPOTHESIS
@given(instances)
def test_every_instance_of_ours(instance: Instance) -> None:
    both(CODEC.encode(instance))


@HYPOTHESIS
@given(_members, _words, _words, _words, _numbers, _numbers)
@example('"a":"b"', "orders", "6f1c", "10.0.0.7", "65536", "0")
@example('"a":1,"a":"b"', "orders", "6f1c", "10.0.0.7", "8080", "1")
@example('"zkdiscovery.status":"ASLEEP"', "orders", "6f1c", "10.0.0.7", "8080", "1")
def test_any_values_in_our_layout(members: str, service: str, id: str, host: str, port: str, time: str) -> None:
    data = CODEC.encode(PLAIN).decode()
    for old, new in (
        ('"instance_status":"UP","a":"b"', members),
        ("orders", service),
        ("6f1c", id),
        ("10.0.0.7", host),
        ("8080", port),
        ("1700000000123", time),
    ):
        assert old in data
        data = data.replace(old, new)
        both(data.encode("utf-8", "surrogatepass"))


@HYPOTHESIS
@given(st.data())
def test_bytes_changed_anywhere(data: st.DataObject) -> None:
    node = bytearray(CODEC.encode(PLAIN))
    for _ in range(data.draw(st.integers(1, 3))):
        node[data.draw(st.integers(0, len(node) - 1))] = data.draw(st.integers(0, 255) | st.sampled_from(b'"{}\\,:0'))
    both(bytes(node))


def test_what_is_remembered_is_never_changed() -> None:
    """Two instances share their metadata, and nothing else."""
    one = CODEC.decode("orders", "1", CODEC.encode(PLAIN))
    two = CODEC.decode("orders", "2", CODEC.encode(PLAIN.with_(host="h", port=1)))
    assert one.metadata is two.metadata
    assert (two.host, two.port, two.id) == ("h", 1, "2")
    with pytest.raises(TypeError):
        one.metadata["a"] = "c"  # type: ignore[index]
    away = CODEC.decode("orders", "3", CODEC.encode(PLAIN.with_(status=Status.DRAINING)))
    assert (away.status, one.status) == (Status.DRAINING, Status.UP)


def test_metadata_of_any_length_is_read_and_what_is_long_is_not_remembered() -> None:
    curator_reader._known.cache_clear()
    for length in (1, 900, 2_000):
        instance = PLAIN.with_(metadata={"a": "b" * length})
        assert CODEC.decode("orders", "6f1c", CODEC.encode(instance)) == instance
    assert curator_reader._known.cache_info().currsize == 2


def test_names_of_the_path_are_checked() -> None:
    for service, name in (("..", "a"), ("a", "zookeeper")):
        with pytest.raises(UndecodableNode, match="must not be"):
            CODEC.decode(service, name, CODEC.encode(PLAIN))
