"""Documents and pointers as bytes, pieces cut by content, documents on top of each other."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from zkdiscovery import InvalidDocument, KeyChange, UndecodableNode
from zkdiscovery.config.documents import DEPTH, decode_document, encode_document
from zkdiscovery.config.merging import ABSENT, differences, lookup, merge
from zkdiscovery.config.pieces import LARGEST, LEAST, cut, name_of_piece
from zkdiscovery.config.pointer import Pointer, decode_pointer, encode_pointer, is_within
from zkdiscovery.config.revisions import INLINE, Author, decode_record, make_record


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "must be a dict: got list"),
        ({"a": {"b": {1, 2}}}, "'a.b' must be what JSON knows, and no set"),
        ({"a": [{}, {"b": math.inf}]}, r"'a\[1\].b' must be a finite number"),
        ({"a": {1: 2}}, "a key must be a text below 'a': got 1"),
        ({"a": "\ud800"}, "surrogates not allowed"),
        (nested(DEPTH + 1), "levels deep"),
    ],
)
def test_what_json_can_not_hold_is_refused(document: Any, why: str) -> None:
    with pytest.raises(InvalidDocument, match=why):
        encode_document(document, "the document 'shop'")


def test_a_document_comes_back_in_its_order() -> None:
    document = {"z": 1, "a": {"y": None, "x": [1, 2.5, "ü", True]}, "empty": {}}
    assert list(decode_document(encode_document(document, "it"))) == ["z", "a", "empty"]
    assert decode_document(encode_document(document, "it")) == document


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": NaN}', b"\xff", b"[" * 100_000, b'{"a":1e999}'])
def test_what_is_no_document(data: bytes) -> None:
    with pytest.raises(UndecodableNode):
        decode_document(data)


def text(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def test_pieces_are_whole_and_bounded() -> None:
    data = text(1_000_000, 1)
    pieces = list(cut(data))
    assert b"".join(pieces) == data
    assert all(LEAST <= len(piece) <= LARGEST for piece in pieces[:-1])
    assert len(pieces[-1]) <= LARGEST
    assert list(cut(b"")) == []
    assert list(cut(b"x" * 500_000)) != []  # of one byte only: cut at the limit


@pytest.mark.parametrize("at", [0, 1000, 500_000, 999_999])
def test_an_insertion_changes_few_pieces(at: int) -> None:
    data = text(1_000_000, 2)
    before = {name_of_piece(piece) for piece in cut(data)}
    after = {name_of_piece(piece) for piece in cut(data[:at] + b"inserted" + data[at:])}
    assert 1 <= len(after - before) <= 3


def test_a_record_has_a_small_document_or_pieces() -> None:
    author = Author("ann", authenticated=True)
    data, pieces = make_record(b'{"a":1}', "why", author, "n", None)
    assert (decode_record(data).document, pieces) == ({"a": 1}, {})
    large = b'{"a":"%s"}' % (b"x" * 10 * INLINE)
    data, pieces = make_record(large, "why", author, "n", 3)
    record = decode_record(data)
    assert b"".join(pieces[name] for name in record.pieces) == large
    assert (record.document, record.restores, record.size, record.authenticated) == (None, 3, len(large), True)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}",
        b'{"message":"","author":"","authenticated":true,"nonce":"","size":1,"restores":null,"document":[]}',
        b'{"message":"","author":"","authenticated":true,"nonce":"","size":1,"restores":null,"pieces":["../../x"]}',
        b'{"message":"","author":"","authenticated":true,"nonce":"","size":1,"restores":"x","document":{}}',
    ],
)  # fmt: skip
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(UndecodableNode, match="no revision"):
        decode_record(data)


def test_a_pointer_comes_back_and_tolerates_keys_of_later_versions() -> None:
    pointer = Pointer(41, 42, 10, "s", {"bake": 300}, 43)
    assert decode_pointer(encode_pointer(pointer)) == pointer
    assert decode_pointer(b'{"stable": 3, "later": true}') == Pointer(3)
    assert pointer.moved_to(44) == Pointer(44, last=44)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"stable":-1}',
        b'{"stable":true}',
        b'{"stable":1,"percent":101}',
        b'{"stable":1,"last":"x"}',
    ],
)
def test_what_is_no_pointer(data: bytes) -> None:
    with pytest.raises(UndecodableNode, match="no pointer"):
        decode_pointer(data)


def test_a_percentage_has_its_share_of_readers_and_contains_the_smaller_ones() -> None:
    readers = [f"host{number}:shop" for number in range(1000)]
    groups = [{reader for reader in readers if is_within(percent, "salt", reader)} for percent in (0, 10, 25, 100)]
    assert [abs(len(group) - share) <= 30 for group, share in zip(groups, (0, 100, 250, 1000), strict=True)] == [
        True
    ] * 4
    assert groups[0] == set()
    assert groups[0] <= groups[1] <= groups[2] <= groups[3] == set(readers)
    rollout = Pointer(1, 2, 10, "salt")
    assert {reader for reader in readers if rollout.chosen(reader) == 2} == groups[1]


def test_layers_merge_deeply_and_the_later_ones_win() -> None:
    base = {"bank": {"url": "a", "timeout": 1}, "list": [1, 2], "flat": {"x": 1}}
    top = {"bank": {"timeout": 3}, "list": [3], "flat": 7, "none": None}
    merged = {"bank": {"url": "a", "timeout": 3}, "list": [3], "flat": 7, "none": None}
    assert merge([base, top]) == merged
    assert base["bank"] == {"url": "a", "timeout": 1}
    assert merge([]) == {}


def test_lookup() -> None:
    document = {"a": {"b": {"c": 1}}, "a.b": {"d": 2}, "n": None}
    assert [lookup(document, key) for key in ("a.b.c", "a.b.d", "n")] == [1, 2, None]
    assert lookup(document, "a.x") is lookup(document, "n.x") is lookup(document, "x") is ABSENT


def test_differences() -> None:
    before = {"a": 1, "b": {"c": [1], "d": 2}, "e": {}, "same": {"x": 1}, "kind": 1}
    after = {"a": 2, "b": {"c": [True], "d": 2, "new": {"x": 1, "y": {}}}, "same": {"x": 1}, "kind": True}
    assert differences(before, after) == [
        KeyChange("a", 1, 2),
        KeyChange("b.c", [1], [True]),
        KeyChange("b.new.x", None, 1, added=True),
        KeyChange("b.new.y", None, {}, added=True),
        KeyChange("e", {}, None, removed=True),
        KeyChange("kind", 1, True),
    ]
    assert differences(before, before) == []
    assert differences({"a": {"b": 1}}, {"a": 3}) == [KeyChange("a", {"b": 1}, 3)]
