"""The nodes of shards: what is written can be read, and nonsense is refused."""

from __future__ import annotations

import json

import pytest

from zkdiscovery.errors import InvalidSettings, UndecodableNode
from zkdiscovery.session import Stat
from zkdiscovery.shards.table import (
    MAX_ID,
    Card,
    Layout,
    Table,
    check_count,
    decode_card,
    decode_table,
    encode_card,
    encode_table,
)

EPHEMERAL, PERSISTENT = Stat(*[1] * 11), Stat(*[0] * 11)


def test_a_table_and_a_card_can_be_read_again() -> None:
    card = Card("host:1:2", 2.5)
    assert decode_card("key", encode_card(card), EPHEMERAL) == card
    table = Table(4, {"a": card, "b": Card("é", 1.0)}, {"a": (0, 2), "b": ()})
    assert decode_table("table", encode_table(table)) == table
    assert table.owners() == {0: "a", 2: "a"}
    assert table.followed_by({"b": Card("é", 1.0)}).shards == {"b": (0, 1, 2, 3)}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"7", b"[]", b"{}", b"[" * 50_000, b'{"count": 4}', b'{"count": 4, "members": []}',
        b'{"count": 0, "members": {}}', b'{"count": true, "members": {}}', b'{"count": 4097, "members": {}}',
        b'{"count": "4", "members": {}}', b'{"count": 4, "members": {"a": 7}}',
        b'{"count": 4, "members": {"a": {"id": "a", "weight": 1}}}',
        b'{"count": 4, "members": {"a": {"id": 7, "weight": 1, "shards": []}}}',
        b'{"count": 4, "members": {"a": {"id": "a\\u001b", "weight": 1, "shards": []}}}',
        b'{"count": 4, "members": {"a": {"id": "a", "weight": 0, "shards": []}}}',
        b'{"count": 4, "members": {"a": {"id": "a", "weight": NaN, "shards": []}}}',
        b'{"count": 4, "members": {"a": {"id": "a", "weight": Infinity, "shards": []}}}',
        b'{"count": 4, "members": {"a": {"id": "a", "weight": 1, "shards": [4]}}}',
        b'{"count": 4, "members": {"a": {"id": "a", "weight": 1, "shards": ["0"]}}}',
        b'{"count": 4, "members": {"a": {"id": "a", "weight": 1, "shards": 3}}}',
    ],
)  # fmt: skip
def test_nonsense_is_no_table(data: bytes) -> None:
    with pytest.raises(UndecodableNode, match="no table of shards"):
        decode_table("table", data)


@pytest.mark.parametrize("data", [b"", b"7", b"{}", b'{"id": "a"}', b'{"id": "a", "weight": true}', b"[" * 50_000])
def test_nonsense_is_no_member(data: bytes) -> None:
    with pytest.raises(UndecodableNode, match="no member of shards"):
        decode_card("key", data, EPHEMERAL)


def test_a_persistent_node_is_no_member() -> None:
    with pytest.raises(UndecodableNode, match="persistent"):
        decode_card("key", encode_card(Card("a", 1.0)), PERSISTENT)


def test_a_long_id_is_cut() -> None:
    data = json.dumps({"id": "x" * 1000, "weight": 1}).encode()
    assert decode_card("key", data, EPHEMERAL) == Card("x" * MAX_ID, 1.0)


def test_another_count_is_an_error() -> None:
    layout = Layout("orders", "/shards/orders")
    assert check_count(layout, 64, None) == check_count(layout, 64, 64) == 64
    with pytest.raises(InvalidSettings, match="the shards 'orders' are 64, and count=32 was given"):
        check_count(layout, 64, 32)
    with pytest.raises(InvalidSettings, match="not known how many the shards 'orders' are"):
        check_count(layout, None, None)
