"""The assigner: it writes few tables, over the version that it has read, and another one follows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.shards.conftest import Consume
from tests.support import LIMIT, Truth, core_of, counting, wait_until
from zkdiscovery import State
from zkdiscovery.errors import NodeMissing
from zkdiscovery.session import Check, Multi, SetData
from zkdiscovery.shards import assigner
from zkdiscovery.testing import FaultProxy


def read(truth: Truth, root: str) -> dict[str, Any]:
    node = truth.get(f"{root}/assignment/table")
    assert node is not None
    found: dict[str, Any] = json.loads(node.data)
    return found


def test_members_that_join_together_get_one_table(
    make_client: MakeClient, consume: Consume, truth: Truth, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assigner, "MERGE", 3.0)
    members = [consume(make_client(), 10) for _ in range(5)]
    for member in members:
        member.wait_held(2)
    node = truth.get(f"{root}/assignment/table")
    assert node is not None
    assert node.stat.version == 1, "one table after the one that stores the count"
    assert len(read(truth, root)["members"]) == 5
    assert all(len(member.begun.items) == 2 for member in members), "nothing has moved"


def test_another_assigner_follows(make_client: MakeClient, consume: Consume, truth: Truth, root: str) -> None:
    first_client = make_client()
    first = consume(first_client)
    first.wait_held(8)
    second = consume(make_client())
    second.wait_held(4)
    assert len(truth.children(f"{root}/assigner")) == 2
    first_client.close()
    second.wait_held(8)
    third = consume(make_client())
    third.wait_held(4)
    assert len(truth.children(f"{root}/assigner")) == 2


def test_a_table_of_an_assigner_that_holds_no_more_is_refused(
    make_client: MakeClient, consume: Consume, truth: Truth, root: str
) -> None:
    member = consume(make_client())
    member.wait_held(8)
    node = truth.get(f"{root}/assignment/table")
    assert node is not None
    (place,) = truth.children(f"{root}/assigner")
    path = f"{root}/assigner/{place}"
    truth.delete(path)
    with pytest.raises(NodeMissing):
        truth.call(Multi([Check(path), SetData(f"{root}/assignment/table", b"stale", node.stat.version)]))
    wait_until(lambda: truth.children(f"{root}/assigner") not in ([], [place]))
    assert consume(make_client()).wait_held(4), "it assigns again, from another place"


def test_without_an_assigner_the_last_table_stands(
    make_client: MakeClient, consume: Consume, truth: Truth, root: str
) -> None:
    truth.create(f"{root}/assigner/_c_other-lock-0000000000", ephemeral=True)  # before all others, and never assigns
    truth.create(f"{root}/assignment/table", json.dumps({"count": 8, "members": {}}).encode())
    member = consume(make_client())
    wait_until(lambda: len(truth.children(f"{root}/assigner")) == 2 and truth.children(f"{root}/members"))
    (key,) = truth.children(f"{root}/members")
    given = {"count": 8, "members": {key: {"id": "me", "weight": 1.0, "shards": [1, 5]}}}
    truth.set(f"{root}/assignment/table", json.dumps(given).encode())
    member.wait_held({1, 5})
    for nonsense in (b"nonsense", b'{"count": 8, "members": 7}'):
        truth.set(f"{root}/assignment/table", nonsense)
    truth.delete(f"{root}/assignment/table")
    truth.create(f"{root}/assignment/table", json.dumps(given).encode())
    given["members"][key]["shards"] = [5, 6]  # type: ignore[index]
    truth.set(f"{root}/assignment/table", json.dumps(given).encode())
    member.wait_held({5, 6})
    assert [shard.number for shard in member.begun.items if shard.number == 5] == [5], "it has never stopped"


def test_a_table_that_was_deleted_is_written_again(
    make_client: MakeClient, consume: Consume, truth: Truth, root: str
) -> None:
    first = consume(make_client())
    first.wait_held(8)
    truth.delete(f"{root}/assignment/table")
    assert first.shards.held() == list(range(8))
    second = consume(make_client())
    second.wait_held(bool)
    wait_until(lambda: len(first.shards.held()) + len(second.shards.held()) == 8)
    assert read(truth, root)["count"] == 8


def test_an_outage_moves_nothing(
    make_client: MakeClient, consume: Consume, truth: Truth, root: str, zkdiscovery_proxy: FaultProxy
) -> None:
    clients = [make_client(zkdiscovery_proxy.address, session_timeout=10.0) for _ in range(2)]
    members = [consume(client) for client in clients]
    for member in members:
        member.wait_held(4)
    before = truth.get(f"{root}/assignment/table")
    zkdiscovery_proxy.drop()
    for client in clients:
        session = core_of(client).session
        wait_until(lambda session=session: session.generation > 1 and session.state is State.CONNECTED)  # type: ignore[misc]
    third = consume(make_client())
    third.wait_held(2)
    assert sum(len(member.ended.items) for member in members) == 2, "those that the third one has taken"
    after = truth.get(f"{root}/assignment/table")
    assert before is not None
    assert after is not None
    assert after.stat.version == before.stat.version + 1


def test_the_requests_of_a_member(make_client: MakeClient, consume: Consume) -> None:
    """Renewing 64 holds costs three requests for each tenth of the session timeout, as renewing one does."""
    first = consume(make_client(), 64)
    first.wait_held(64)
    first.shards.close()
    client = make_client(session_timeout=10.0)
    client.wait_connected(LIMIT)
    with counting(client) as joining:
        member = consume(client, None)
        member.wait_held(64)
        member.begun.wait(lambda begun: len(begun) == 64)
    places = 64 + 1  # of the shards, and of the assigner
    assert joining["CreateNumbered"] == places, joining
    assert joining["GetChildren"] <= places + 4, joining
    assert joining["Multi"] <= places + 20, joining  # with renewals meanwhile
    assert sum(joining.values()) <= 5 * places, joining
    with counting(client) as idle:
        wait_until(lambda: idle["Multi"] >= 5)
    assert idle["Sync"] <= 2 * idle["Multi"] + 2, idle
    assert set(idle) <= {"Multi", "Sync", "Echo"}, idle
