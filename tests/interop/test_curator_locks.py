"""Curator's locks beside ours: who waits for whom, and who can ask whom for a release."""

from __future__ import annotations

from typing import Any

import pytest
from kazoo.client import KazooClient

from tests.conftest import MakeClient
from tests.interop.conftest import GetProgram
from tests.interop.programs import Program
from tests.support import LIMIT, Recorder, Truth
from zkdiscovery import Client, Hold
from zkdiscovery.locks import Layout

pytestmark = pytest.mark.timeout(120)

KINDS = ["mutex", "read", "write"]


@pytest.fixture
def curator(program: GetProgram) -> Program:
    return program("Curator")


@pytest.fixture
def path(namespace: str) -> str:
    """That of the lock of all."""
    return f"{namespace}/shared"


def ours(client: Client, kind: str, path: str, layout: Layout = "curator") -> Any:
    if kind == "mutex":
        return client.lock(path, layout=layout)
    return getattr(client.read_write_lock(path, layout=layout), kind)


PAIRS = [("mutex", "mutex"), ("write", "write"), ("write", "read"), ("read", "write")]


@pytest.mark.parametrize(("mine", "other"), PAIRS)
def test_each_waits_for_the_other(curator: Program, make_client: MakeClient, path: str, mine: str, other: str) -> None:
    lock = ours(make_client(), mine, path)
    with lock.hold(LIMIT):
        assert not curator.obey("hold", path=path, kind=other, seconds=0.3)["held"]
    assert curator.obey("hold", path=path, kind=other, seconds=LIMIT)["held"]
    assert lock.try_acquire() is None
    assert len(lock.holders()) == 1
    curator.obey("release")
    lock.acquire(LIMIT).release()


def test_readers_hold_it_together(curator: Program, make_client: MakeClient, path: str) -> None:
    lock = ours(make_client(), "read", path)
    with lock.hold(LIMIT):
        assert curator.obey("hold", path=path, kind="read", seconds=LIMIT)["held"]
        assert len(lock.holders()) == 2
    lock.acquire(LIMIT).release()
    curator.obey("release")


@pytest.mark.parametrize("kind", KINDS)
def test_we_ask_a_holder_of_curators(curator: Program, make_client: MakeClient, path: str, kind: str) -> None:
    lock = ours(make_client(), kind, path)
    assert curator.obey("hold", path=path, kind=kind, seconds=LIMIT)["held"]
    for _ in range(2):
        (asked,) = lock.request_release(LIMIT)
        assert curator.obey("asked")["asked"]
        (holder,) = lock.holders()
        assert (holder.fence, holder.id) == (asked.fence, "")  # the message stands there in its place
    curator.obey("release")
    assert lock.request_release(LIMIT) == []


@pytest.mark.parametrize("kind", KINDS)
def test_curator_asks_a_holder_of_ours(
    curator: Program, make_client: MakeClient, truth: Truth, path: str, kind: str
) -> None:
    lock, told = ours(make_client(), kind, path), Recorder[Hold]()
    lock.on_release_requested(told)
    with lock.hold(LIMIT) as hold:
        (holder,) = lock.holders()
        for number in (1, 2):
            curator.obey("revoke", path=holder.path)
            assert told.wait(lambda items, number=number: len(items) == number)[-1] is hold
            truth.wait(holder.path, lambda node: node is not None and node.data == holder.id.encode())
        assert not hold.lost
        hold.release()
    assert curator.obey("hold", path=path, kind=kind, seconds=LIMIT)["held"]
    curator.obey("release")


# -- what is not safe, as the docs say --


@pytest.mark.parametrize("kind", ["mutex", "write"])
def test_curator_does_not_wait_for_kazoos_names(
    curator: Program, make_client: MakeClient, kazoo: KazooClient, path: str, kind: str
) -> None:
    theirs = kazoo.Lock(path) if kind == "mutex" else kazoo.WriteLock(path)
    assert theirs.acquire(timeout=LIMIT)
    assert curator.obey("hold", path=path, kind=kind, seconds=5)["held"]
    curator.obey("release")
    theirs.release()
    with ours(make_client(), kind, path, "kazoo").hold(LIMIT):
        assert curator.obey("hold", path=path, kind=kind, seconds=5)["held"]
        curator.obey("release")


def test_plain_kazoo_does_not_wait_for_curators_names(
    curator: Program, make_client: MakeClient, kazoo: KazooClient, path: str
) -> None:
    with ours(make_client(), "mutex", path).hold(LIMIT):
        theirs = kazoo.Lock(path)
        assert theirs.acquire(timeout=5)
        theirs.release()
    assert curator.obey("hold", path=path, kind="mutex", seconds=LIMIT)["held"]
    theirs = kazoo.Lock(path)
    assert theirs.acquire(timeout=5)
    theirs.release()
    curator.obey("release")


@pytest.mark.parametrize("kind", ["read", "write"])
def test_curators_read_write_lock_does_not_wait_for_a_mutex(
    curator: Program, make_client: MakeClient, path: str, kind: str
) -> None:
    """Nor for one of Curator's."""
    with ours(make_client(), "mutex", path).hold(LIMIT):
        assert curator.obey("hold", path=path, kind=kind, seconds=5)["held"]
        curator.obey("release")
