"""Whatever stands in a znode, a codec gives an instance that keeps the model's promises, or UndecodableNode."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.faults.fuzzing.helpers import (
    CODEC,
    HOSTILE_TEXTS,
    HOSTILE_VALUES,
    SPRING,
    at_limit,
    bounded,
    check_message,
    dump,
    examples,
    hostile_json,
    hostile_text,
    nested,
    plain,
)
from zkdiscovery import Instance, Status, UndecodableNode
from zkdiscovery.codecs import MAX_DATA_BYTES
from zkdiscovery.election.candidate import Candidate
from zkdiscovery.election.candidate import decode as decode_candidate
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.lifecycle import MAX_ID

HEALTHY = dump(plain())
FIELDS = ("status", "weight", "zone", "version", "tags", "ports")
RESERVED = ("instance_status", *FIELDS, *(f"zkdiscovery.{name}" for name in FIELDS), "zkdiscovery.x")


def decode(data: bytes, id: str = "a") -> Instance | None:
    """The instance, checked, or None for UndecodableNode with a reason that can be shown."""
    try:
        instance = CODEC.decode("payments", id, data)
    except UndecodableNode as error:
        check_message(error)
        return None
    assert (instance.service, instance.id) == ("payments", id)
    assert instance.with_() == instance, "passes every check of the model"
    assert type(instance.port) is int
    assert type(instance.status) is Status
    assert type(instance.weight) is float
    assert instance.tls_port is None or type(instance.tls_port) is int
    assert all(type(text) is str for text in (*instance.tags, *instance.metadata, *instance.metadata.values()))
    hash(instance)
    return instance


def examine(data: bytes) -> None:
    """Decode; what is an instance is written back twice and comes out the same; overrides are harmless."""
    instance = decode(data)
    if instance is None:
        return
    if instance.override is not None:
        assert instance.override.above(Instance("s", "h", 1)).own.with_() == Instance("s", "h", 1)
        assert instance.own.with_()
    try:
        first = CODEC.encode(instance, previous=data)
    except InvalidInstance as error:  # too large once written out, or numbers that JSON has no word for
        check_message(error)
        return
    assert decode(first) == instance
    assert CODEC.encode(instance, previous=first) == first, "stable"
    before, after = json.loads(data), json.loads(first)
    for key in before.keys() - {"zkdiscoveryOverride"}:
        assert key in after, "nothing that we do not know is lost"


@examples(300)
@given(st.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    """Neither an instance nor anything worse (Curator, peers.md defect 11: one corrupt sibling broke the query)."""
    examine(data)
    assert isinstance(decode_candidate(data, 1), Candidate)


@examples(400)
@given(st.data())
def test_valid_bytes_flipped_truncated_and_spliced(data: st.DataObject) -> None:
    """Half-written, bit-rotten and mixed-up nodes."""
    node = bytearray(HEALTHY)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(node) - 1)) if node else 0
        match data.draw(st.sampled_from(["flip", "cut", "drop", "double", "insert"])):
            case "flip" if node:
                node[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del node[at:]
            case "drop":
                del node[at : at + data.draw(st.integers(1, 20))]
            case "double":
                node[at:at] = node[at : at + data.draw(st.integers(1, 40))]
            case _:
                node[at:at] = data.draw(st.binary(max_size=8))
    examine(bytes(node))


@examples(400)
@given(
    st.dictionaries(
        st.sampled_from([*plain(), "zkdiscovery", "zkdiscoveryOverride", "enabled", "name", "unknown"]),
        hostile_json,
        max_size=4,
    )
)
@example({"registrationTimeUTC": 10**400})
@example({"registrationTimeUTC": float("inf")})
@example({"port": True})
@example({"port": 8080.0})
def test_wrong_types_everywhere(fields: dict[str, Any]) -> None:
    """Every field may hold anything."""
    examine(dump(plain(**fields)))


@pytest.mark.parametrize("field", [*plain(), "zkdiscovery", "zkdiscoveryOverride", "enabled"])
def test_each_field_with_each_hostile_value(field: str) -> None:
    """All of them, none left to chance."""
    for value in HOSTILE_VALUES:
        examine(dump(plain(**{field: value})))


@examples(300)
@given(
    st.dictionaries(
        st.sampled_from(RESERVED) | hostile_text,
        hostile_text | hostile_json,
        max_size=6,
    ),
    st.sampled_from([SPRING, "com.example.Other"]),
)
def test_hostile_metadata(metadata: dict[str, Any], kind: str) -> None:
    """Texts for numbers, lists for texts, terminal escapes for zones."""
    examine(dump(plain(payload={"@class": kind, "metadata": metadata})))
    examine(dump(plain(payload=None, zkdiscovery=metadata)))


@pytest.mark.parametrize("key", RESERVED)
def test_each_reserved_key_with_each_hostile_text(key: str) -> None:
    """All of them, none left to chance."""
    for text in HOSTILE_TEXTS:
        examine(dump(plain(payload={"@class": SPRING, "metadata": {key: text}})))


@examples(200)
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("status", "weight", "baseStatus", "baseWeight"), hostile_json))
)
def test_hostile_overrides(override: dict[str, Any]) -> None:
    """An operator's override that somebody else wrote."""
    valid = {"status": "DOWN", "weight": 1, "baseStatus": "UP", "baseWeight": 1}
    examine(dump(plain(zkdiscoveryOverride=override)))
    examine(dump(plain(zkdiscoveryOverride=valid | override)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xef\xbb\xbf" + HEALTHY,
        HEALTHY.decode().encode("utf-16"),
        HEALTHY.decode().encode("utf-32-be"),
        HEALTHY + b"\0",
        HEALTHY + HEALTHY,
        HEALTHY.replace(b'"10.0.0.7"', b'"\xff\xfe"'),
        HEALTHY.replace(b'"10.0.0.7"', b'"\xed\xa0\x80"'),
        HEALTHY.replace(b'"10.0.0.7"', rb'"\ud800"'),
        HEALTHY.replace(b'"10.0.0.7"', b'"a\x00b"'),
        HEALTHY.replace(b'"port":8080', b'"port":' + b"8" * 5000),
        HEALTHY.replace(b'"port":8080', b'"port":1e999'),
        HEALTHY.replace(b'"port":8080', b'"port":-Infinity'),
    ],
    ids=range(13),
)
def test_what_is_no_json_of_an_instance(data: bytes) -> None:
    """Byte order marks, other encodings, lone surrogates, numbers of 5,000 digits, two documents in one."""
    assert decode(data) is None
    examine(data)


def test_duplicate_keys() -> None:
    """Readers differ in which one counts; here it is one of the two, whole and checked."""
    twice = HEALTHY.replace(b'"address":"10.0.0.7"', b'"address":"bad host","address":"10.0.0.8"')
    instance = decode(twice)
    assert instance is not None
    assert instance.host == "10.0.0.8"
    examine(twice)


def test_classes_are_carried_along_and_never_resolved() -> None:
    """Java gadgets are text here, and still there after a write."""
    for gadget in ("java.lang.Runtime", "os.system", "builtins.exec", "zkdiscovery.Client", "../../etc/passwd"):
        payload = {"@class": gadget, "command": "id", "metadata": {"a": "b"}}
        data = dump(plain(payload=payload))
        instance = decode(data)
        assert instance is not None
        written = json.loads(CODEC.encode(instance.with_(status=Status.DRAINING), previous=data))
        assert written["payload"] == payload


def with_metadata(**texts: str) -> bytes:
    """An instance with this metadata in Spring's payload."""
    return dump(plain(payload={"@class": SPRING, "metadata": texts}))


def with_unknown(field: str, json_text: str) -> bytes:
    """An instance with this JSON in a field."""
    return dump(plain(**{field: 0})).replace(f'"{field}":0'.encode(), f'"{field}":{json_text}'.encode())


HUGE: dict[str, Callable[[int], bytes]] = {
    "arrays in arrays": lambda n: with_unknown("unknown", nested(n, "[", "]")),
    "objects in objects": lambda n: with_unknown("payload", nested(n, '{"a":', "}")),
    "only opened": lambda n: b"[" * n,
    "many keys": lambda n: dump(plain(unknown={f"{i:05}": i for i in range(n)})),
    "much metadata": lambda n: with_metadata(**{f"{i:05}": "x" for i in range(n)}),
    "one key again and again": lambda n: HEALTHY[:-1] + b',"address":"h"' * n + b"}",
    "a long text": lambda n: dump(plain(unknown="x" * n)),
    "a long host": lambda n: dump(plain(address="x" * n)),
    "a long address with colons": lambda n: dump(plain(address=":" * n)),
    "a long weight": lambda n: with_metadata(weight="9" * n),
    "a long port": lambda n: with_metadata(**{"zkdiscovery.ports": "a=" + "9" * n}),
    "many ports": lambda n: with_metadata(**{"zkdiscovery.ports": ",".join(f"{i:05}=1" for i in range(n))}),
    "many tags": lambda n: with_metadata(**{"zkdiscovery.tags": "t," * n}),
    "many keys of ours": lambda n: with_metadata(**{f"zkdiscovery.{i:05}": "" for i in range(n)}),
    "a long number": lambda n: HEALTHY.replace(b"8080", b"8" * n),
    "a long fraction": lambda n: HEALTHY.replace(b"1700000000123", b"1." + b"7" * n),
    "escapes": lambda n: dump(plain(unknown="\u202e" * n)),
    "white space": lambda n: b" " * n + HEALTHY,
}


@pytest.mark.parametrize("make", HUGE.values(), ids=HUGE.keys())
@pytest.mark.parametrize("large", [False, True], ids=["at the limit", "a megabyte"])
def test_huge_and_deep(make: Callable[[int], bytes], large: bool) -> None:
    """64 KiB are decoded, and 1 MB is refused, in little time and memory; 10^5 levels are no RecursionError."""
    if not large:
        data = at_limit(make)
        assert len(data) > MAX_DATA_BYTES / 2
    else:
        data = make(100_000)
        assert len(data) > MAX_DATA_BYTES
    with bounded(seconds=2.0, megabytes=20):
        examine(data)
        assert isinstance(decode_candidate(data, 1), Candidate)
    if large:
        assert decode(data) is None


def test_depth_in_a_deep_stack() -> None:
    """Called from deep inside a user's own recursion: still no RecursionError."""
    data = dump(plain(unknown=0)).replace(b'"unknown":0', f'"unknown":{nested(150, "[", "]")}'.encode())

    def down(levels: int) -> None:
        if levels:
            down(levels - 1)
        else:
            decode(data)

    down(800)


# -- candidates of elections --


@examples(300)
@given(hostile_json | st.fixed_dictionaries({"id": hostile_json}))
def test_hostile_candidates(value: Any) -> None:
    """What a candidate's node may hold: the id is text that can be shown, or empty."""
    for data in (dump(value), dump(value).decode().encode("utf-16"), dump(value)[:-1], b"\xef\xbb\xbf" + dump(value)):
        candidate = decode_candidate(data, 7)
        assert candidate.fence == 7
        assert type(candidate.id) is str
        assert candidate.id.isprintable()
        assert len(candidate.id) <= MAX_ID


@pytest.mark.parametrize("opening", ["[", '{"id":', '{"a":['])
def test_deep_candidates(opening: str) -> None:
    """10^5 levels."""
    with bounded(seconds=1.0, megabytes=20):
        assert decode_candidate((opening * 100_000).encode(), 1).id == ""


# -- names, which come from the path --


@examples(300)
@given(hostile_text)
def test_hostile_names(name: str) -> None:
    """An id that can't be one is refused with words that can be shown."""
    try:
        instance = CODEC.decode(name, name, HEALTHY)
    except UndecodableNode as error:
        check_message(error)
    else:
        assert instance.with_() == instance
