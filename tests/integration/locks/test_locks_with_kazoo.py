"""Locks that kazoo's clients hold, too: who waits for whom."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import LockTimeout as KazooTimeout

from tests.conftest import MakeClient
from tests.integration.locks.conftest import Queue
from tests.support import LIMIT
from zkdiscovery import Client
from zkdiscovery.locks import Layout

TURNS = 50

NAME = "invoice"


def theirs(kazoo: KazooClient, parent: str, kind: str, layout: Layout) -> Any:
    """kazoo's lock, that waits for ours of a layout."""
    ours = {"Lock": ["-lock-"], "WriteLock": ["__READ__", "__WRIT__"], "ReadLock": ["__WRIT__"]}[kind]
    return getattr(kazoo, kind)(parent, extra_lock_patterns=ours if layout == "curator" else ())


def ours(client: Client, kind: str, layout: Layout) -> Any:
    if kind == "Lock":
        return client.lock(NAME, layout=layout)
    lock = client.read_write_lock(NAME, layout=layout)
    return lock.write if kind == "WriteLock" else lock.read


PAIRS = [("Lock", "Lock"), ("WriteLock", "WriteLock"), ("WriteLock", "ReadLock"), ("ReadLock", "WriteLock")]

every_pair = pytest.mark.parametrize(("mine", "other"), PAIRS, ids=lambda kind: kind)
every_layout = pytest.mark.parametrize("layout", ["curator", "kazoo"])


@every_layout
@every_pair
def test_each_waits_for_the_other(
    make_client: MakeClient, kazoo: KazooClient, parent: str, mine: str, other: str, layout: Layout
) -> None:
    client = make_client()
    our, their = ours(client, mine, layout), theirs(kazoo, parent, other, layout)
    with our.hold(LIMIT), pytest.raises(KazooTimeout):
        their.acquire(timeout=0.3)
    assert their.acquire(timeout=LIMIT)
    assert our.try_acquire() is None
    their.release()
    with our.hold(LIMIT):
        pass


@every_layout
def test_readers_hold_it_together(make_client: MakeClient, kazoo: KazooClient, parent: str, layout: Layout) -> None:
    our, their = ours(make_client(), "ReadLock", layout), theirs(kazoo, parent, "ReadLock", layout)
    with our.hold(LIMIT):
        assert their.acquire(timeout=LIMIT)
        assert len(our.holders()) == 2
    with our.hold(LIMIT):
        pass
    their.release()


@every_layout
@every_pair
def test_turns_do_not_overlap(
    make_client: MakeClient, kazoo: KazooClient, queue: Queue, parent: str, mine: str, other: str, layout: Layout
) -> None:
    client = make_client()
    inside: list[str] = []
    overlaps: list[list[str]] = []
    changed = threading.Lock()

    def turn(who: str) -> None:
        with changed:
            inside.append(who)
            if len(inside) > 1:
                overlaps.append(list(inside))
        with changed:
            inside.remove(who)

    def take_ours() -> None:
        our = ours(client, mine, layout)
        for _ in range(TURNS):
            with our.hold(LIMIT):
                turn("ours")

    def take_theirs() -> None:
        their = theirs(kazoo, parent, other, layout)
        for _ in range(TURNS):
            assert their.acquire(timeout=LIMIT)
            turn("theirs")
            their.release()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(take_ours), pool.submit(take_theirs)]:
            done.result(3 * LIMIT)
    assert overlaps == []
    assert queue() == []
