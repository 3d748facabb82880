"""Small nodes read in one request: what is missing, what is too large, and what may have broken a connection."""

from __future__ import annotations

import time

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Truth, core_of, counting
from zkdiscovery import Client, UndecodableNode
from zkdiscovery.session import NO_NODE, Node, read_together
from zkdiscovery.session.requests import MultiRead, encode


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client().wait_connected(LIMIT)


def read(client: Client, paths: list[str]) -> list[Node | int]:
    session = core_of(client).session
    deadline = time.monotonic() + LIMIT
    return read_together(session, paths, largest=1000, generation=session.generation, deadline=deadline)


def test_nodes_and_no_nodes(client: Client, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/a", b"1")
    truth.create(f"{namespace}/b", b"2")
    with counting(client) as counts:
        found = read(client, [f"{namespace}/{name}" for name in ("a", "missing", "b")])
    assert [node.data if isinstance(node, Node) else node for node in found] == [b"1", NO_NODE, b"2"]
    assert counts == {"MultiRead": 1}


def test_a_node_that_is_too_large(client: Client, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/a", b"x" * 1001)
    with pytest.raises(UndecodableNode, match=f"{namespace}/a can't be used: the znode holds 1001 bytes, the limit is"):
        read(client, [f"{namespace}/a"])


def test_suspects_are_looked_at_first_and_read_together_all_the_same(
    client: Client, truth: Truth, namespace: str
) -> None:
    paths = [f"{namespace}/{name}" for name in ("a", "missing", "b")]
    truth.create(paths[0], b"1")
    truth.create(paths[2], b"2")
    request = MultiRead(paths)
    core_of(client).session.care.broke([(request, encode(request))])
    with counting(client) as counts:
        assert len(read(client, paths)) == 3
        assert counts == {"Exists": 3, "MultiRead": 1}
        assert len(read(client, paths)) == 3
        assert counts == {"Exists": 3, "MultiRead": 2}, "an answer has cleared them"
    core_of(client).session.care.broke([(request, encode(request))])
    truth.set(paths[2], b"x" * 2000)
    with counting(client) as counts, pytest.raises(UndecodableNode, match="2000 bytes"):
        read(client, paths)
    assert counts["MultiRead"] == 0, "what may have broken the connection by its size is not asked for again"
