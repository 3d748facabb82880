"""How much a watched set reads, and how often it tells of changes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.integration.znodes.watched_set import Set, count_reads, fill
from tests.support import LIMIT, Truth
from zkdiscovery.session import Create, Delete, Multi
from zkdiscovery.testing import FaultProxy


def test_a_change_costs_one_read_and_a_removal_none(watched: Set, truth: Truth, path: str) -> None:
    fill(truth, path, a="1", b="1", c="1")
    watched.wait({"a": "1", "b": "1", "c": "1"})
    watched.settle()
    reads = count_reads(watched)
    truth.set(f"{path}/a", b"2")
    watched.wait({"a": "2", "b": "1", "c": "1"})
    truth.delete(f"{path}/b")
    watched.wait({"a": "2", "c": "1"})
    fill(truth, path, d="1")
    watched.wait({"a": "2", "c": "1", "d": "1"})
    assert [list(read.paths) for read in reads] == [[f"{path}/a"], [f"{path}/d"]]


@pytest.fixture
def patient(zkdiscovery_proxy: FaultProxy, path: str, truth: Truth) -> Iterator[Set]:
    """A set that is loaded, in a session that stands silence."""
    truth.create(path)
    watched = Set(zkdiscovery_proxy.address, path, session_timeout=10.0)
    watched.wait_loads(1)
    watched.settle()
    yield watched
    watched.close()


def storm(proxy: FaultProxy, truth: Truth, requests: Iterable[Any]) -> None:
    """Let the events of all these writes arrive at one moment, however long the server takes."""
    proxy.half_open("client_to_server")
    deadline = time.monotonic() + LIMIT
    for future in [truth.session.submit(request, deadline=deadline) for request in requests]:
        future.result(LIMIT)
    proxy.heal()


def test_a_storm_is_a_handful_of_reads(patient: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str) -> None:
    reads, told = count_reads(patient), len(patient.deltas.items)
    names = [f"n{number}" for number in range(1000)]
    storm(zkdiscovery_proxy, truth, [Create(f"{path}/{name}", b"1", truth.session.leaf_acl) for name in names])
    patient.wait(dict.fromkeys(names, "1"))
    assert sum(len(read.paths) for read in reads) == 1000, "each node is read once"
    assert len(reads) <= 20
    assert len(patient.deltas.items) - told <= 20


def test_a_storm_of_removals_is_a_handful_of_changes(
    patient: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str
) -> None:
    """Nothing has to be read, so that each would be told before the next one comes."""
    names = [f"n{number}" for number in range(500)]
    for _ in range(4):
        truth.call(Multi([Create(f"{path}/{name}", b"1", truth.session.leaf_acl) for name in names]))
        patient.wait(dict.fromkeys(names, "1"))
        patient.settle()
        told = len(patient.deltas.items)
        storm(zkdiscovery_proxy, truth, [Delete(f"{path}/{name}") for name in names])
        patient.wait({})
        assert len(patient.deltas.items) - told <= 20


def test_lone_changes_are_not_held_back(watched: Set, truth: Truth, path: str) -> None:
    """Not even when one follows the other closely, as long as each is read before the next."""
    fill(truth, path, a="0")
    watched.wait({"a": "0"})
    watched.settle()
    reads = count_reads(watched)
    for number in range(1, 51):
        truth.set(f"{path}/a", str(number).encode())
        watched.wait({"a": str(number)})
        assert watched.children.pacing.pause == 0.0
    assert len(reads) == 50
