"""The bytes of requests, against kazoo's own where kazoo has them, and answers that end too early."""

from __future__ import annotations

import struct

import pytest
from kazoo.protocol import serialization as kazoo_wire
from kazoo.security import OPEN_ACL_UNSAFE

from zkdiscovery.errors import NodeMissing
from zkdiscovery.session.requests import (
    CONTAINER,
    EPHEMERAL,
    AccessEntry,
    Check,
    Create,
    CreateNumbered,
    Delete,
    GetChildren,
    GetData,
    Multi,
    MultiRead,
    Node,
    Request,
    SetData,
    Stat,
    Sync,
    encode,
)

OPEN = (AccessEntry(31, "world", "anyone"),)
STAT = Stat(*range(1, 12))
STAT_BYTES = struct.pack(">qqqqiiiqiiq", *STAT)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Create("/ä", b"data", OPEN, EPHEMERAL), kazoo_wire.Create2("/ä", b"data", OPEN_ACL_UNSAFE, EPHEMERAL)),
        (CreateNumbered("/ä-", b"data", OPEN), kazoo_wire.Create2("/ä-", b"data", OPEN_ACL_UNSAFE, 3)),
        (Delete("/a", 3), kazoo_wire.Delete("/a", 3)),
        (SetData("/a", b"", 3), kazoo_wire.SetData("/a", b"", 3)),
        (Check("/a", 3), kazoo_wire.CheckVersion("/a", 3)),
        (GetData("/a"), kazoo_wire.GetData("/a", None)),
        (GetChildren("/a"), kazoo_wire.GetChildren("/a", None)),
        (Sync("/a"), kazoo_wire.Sync("/a")),
    ],
)
def test_the_same_bytes_as_kazoo(ours: Request, theirs: Request) -> None:
    assert ours.type == theirs.type
    assert encode(ours) == struct.pack(">i", theirs.type) + theirs.serialize()


def test_a_list_of_more_names_than_two_bytes_count() -> None:
    names = [f"{number:05}" for number in range(65_536 + 500)]
    body = struct.pack(">i", len(names)) + b"".join(struct.pack(">i", 5) + name.encode() for name in names)
    assert GetChildren("/a").deserialize(body, 0) == names


def test_containers_have_an_operation_of_their_own() -> None:
    assert Create("/a", b"", OPEN, CONTAINER).type == 19


def test_transactions() -> None:
    operations = [Create("/a", b"1", OPEN), Check("/b", 2)]
    kazoo_operations = [kazoo_wire.Create2("/a", b"1", OPEN_ACL_UNSAFE, 0), kazoo_wire.CheckVersion("/b", 2)]
    assert Multi(operations).serialize() == kazoo_wire.Transaction(kazoo_operations).serialize()


def test_a_failed_transaction_raises_for_the_operation_that_failed() -> None:
    """The others answer 0 (would have passed) or -2 (comes after the one that failed)."""
    answer = b"".join(struct.pack(">iBii", -1, False, code, code) for code in (0, -101, -2)) + struct.pack(
        ">iBi", -1, True, -1
    )
    transaction = Multi([Check("/a"), Delete("/b"), Delete("/c")])
    with pytest.raises(NodeMissing, match="delete /b") as raised:
        transaction.deserialize(answer, 0)
    assert (raised.value.operation_index, raised.value.path) == (1, "/b")


def test_bulk_answers() -> None:
    node = struct.pack(">iBi", 4, False, 0) + struct.pack(">i", 4) + b"data" + STAT_BYTES
    none = struct.pack(">iBi", 4, False, 0) + struct.pack(">i", -1) + STAT_BYTES
    error = struct.pack(">iBi", -1, False, -101) + struct.pack(">i", -101)
    answer = b"head" + node + error + none + struct.pack(">iBi", -1, True, -1)
    assert MultiRead(["/a", "/b", "/c"]).deserialize(answer, 4) == [Node(b"data", STAT), -101, Node(b"", STAT)]
    with pytest.raises(struct.error):
        MultiRead(["/a", "/b", "/c"]).deserialize(answer[: len(answer) // 2], 4)
    with pytest.raises(struct.error):
        MultiRead(["/a", "/b", "/c", "/d"]).deserialize(answer, 4)


def test_data_is_copied_out_of_the_buffer() -> None:
    buffer = struct.pack(">i", 4) + b"data" + STAT_BYTES
    node = GetData("/a").deserialize(buffer, 0)
    assert node == Node(b"data", STAT)
    assert type(node.data) is bytes
