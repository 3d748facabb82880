"""The answers that servers of each version gave are read, and mean the same."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.recorded import REQUESTS, frames, versions
from zkdiscovery.errors import (
    AccessDenied,
    NodeChanged,
    NodeError,
    NodeExists,
    NodeMissing,
    NodeNotEmpty,
    ZkDiscoveryError,
)
from zkdiscovery.session.requests import Stat
from zkdiscovery.session.translate import error_for_code

WITHOUT_STAT = {"3.6.4", "3.8.0"}  # they don't tell the stat of what a transaction creates

ERRORS = {
    "unwatch again": NodeError,
    "read a missing node": NodeMissing,
    "list a missing node": NodeMissing,
    "create a node that exists": NodeExists,
    "create a child of an ephemeral node": NodeMissing,
    "create with an unknown kind of ACL": AccessDenied,
    "create at an invalid path": NodeError,
    "write another version": NodeChanged,
    "delete another version": NodeChanged,
    "delete a node that has children": NodeNotEmpty,
}
ANSWERED = [name for name in REQUESTS if name not in {*ERRORS, "transaction that fails"}]


def answer(version: str, name: str) -> Any:
    """What the request's own reader makes of the recorded bytes."""
    frame = frames(version, name)[-1]
    _, _, code = struct.unpack_from(">iqi", frame)
    assert code == 0
    return REQUESTS[name].deserialize(frame, 16)


@pytest.fixture(params=versions())
def version(request: pytest.FixtureRequest) -> str:
    """Each version that was recorded."""
    return str(request.param)


def test_the_versions() -> None:
    """Before and after the change of the answers to transactions (ZOOKEEPER-4026), in each line of releases."""
    assert versions() == ["3.6.4", "3.7.2", "3.8.0", "3.8.6", "3.9.5"]


def test_answers(version: str) -> None:
    answers = {name: answer(version, name) for name in ANSWERED}
    created, written = answers["create"], answers["write"]
    assert (created.version, created.ephemeral_owner, created.data_length) == (0, 0, 3)
    assert answers["create an ephemeral node"].ephemeral_owner > 0
    assert answers["create a container"].ephemeral_owner == 0
    assert (written.czxid, written.version, written.num_children) == (created.czxid, 1, 2)
    assert answers["read"] == (b"two", written)
    assert answers["read a node without data"].data == b""
    assert answers["look for"] == written
    assert sorted(answers["list"]) == ["box", "ä"]
    read, missing, other = answers["bulk read"]
    assert (read.data, missing, other.data) == (b"two", -101, b"four")
    assert [answers[name] for name in ("watch", "sync", "delete", "unwatch")] == [None] * 4


def test_a_transaction(version: str) -> None:
    ephemeral, plain, container, written, checked, deleted = answer(version, "transaction")
    other = answer(version, "bulk read")[2].stat
    if version in WITHOUT_STAT:
        assert (ephemeral, plain) == (None, None)
    else:
        assert ephemeral.ephemeral_owner == answer(version, "create an ephemeral node").ephemeral_owner
        assert plain == written._replace(mzxid=plain.mzxid, version=0, data_length=5)
    assert type(container) is Stat
    assert (container.ephemeral_owner, container.czxid) == (0, other.czxid)
    assert (written, checked, deleted) == (other, None, None)
    assert (written.version, written.data_length) == (1, 4)


def test_a_transaction_that_fails(version: str) -> None:
    with pytest.raises(NodeExists) as raised:
        answer(version, "transaction that fails")
    assert (raised.value.operation_index, raised.value.path) == (1, "/a/c")


def test_an_answer_that_ends_too_early(version: str) -> None:
    """At whatever byte: an error, no half of a result."""
    for name in ("create", "transaction", "bulk read"):
        frame = frames(version, name)[-1]
        for end in range(16, len(frame)):
            try:
                REQUESTS[name].deserialize(frame[:end], 16)
            except (ValueError, struct.error):
                continue
            assert len(frame) - end <= 9, "the mark of the end may be missing"


@pytest.mark.parametrize("name", ERRORS)
def test_errors(version: str, name: str) -> None:
    _, _, code = struct.unpack_from(">iqi", frames(version, name)[-1])
    error = error_for_code(code, REQUESTS[name])
    assert type(error) is ERRORS[name]
    assert isinstance(error, ZkDiscoveryError)


def test_events_come_before_the_answer(version: str) -> None:
    """Each with its kind and path: 1 created, 2 deleted, 3 changed."""
    seen = []
    for frame in frames(version, "transaction")[:-1]:
        xid, _, _, kind, _, length = struct.unpack_from(">iqiiii", frame)
        assert xid == -1
        seen.append((kind, frame[28 : 28 + length].decode()))
    assert seen == [(1, "/a/b"), (1, "/a/c"), (1, "/a/d"), (3, "/a/c"), (2, "/a/d")]
