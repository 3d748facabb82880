"""The planted bugs are bugs: those that lie where the code moves are shown to bite, without a run of chaos."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.conftest import MakeClient
from tests.faults.chaos.bugs import plant
from tests.integration.discovery.helpers import Written
from tests.integration.election.helpers import settle
from tests.integration.shards.helpers import NAME, Consuming
from tests.support import LIMIT, Truth, wait_until, wait_view
from zkdiscovery import InvalidSettings, LockTimeout, RegistrationConflict
from zkdiscovery.errors import NodeNotEmpty
from zkdiscovery.locks import leases, limit, locks
from zkdiscovery.shards.place import ShardPlace
from zkdiscovery.testing import FaultProxy
from zkdiscovery.znodes import NumberedNode, QueuePlace, WatchedChildren
from zkdiscovery.znodes.reconciler import Reconciler


@pytest.mark.parametrize("planted", [False, True])
def test_a_cache_that_compares_the_version_only(
    make_client: MakeClient,
    zkdiscovery_proxy: FaultProxy,
    truth: Truth,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    planted: bool,
) -> None:
    """A node that is deleted and created again while the consumer is cut off stays as it was for it."""
    monkeypatch.setattr(WatchedChildren, "_decoded", WatchedChildren._decoded)  # put back afterwards
    if planted:
        plant("version-only")
    payments = Written(truth, namespace)
    payments.add("a", weight=1.0)
    view = make_client(zkdiscovery_proxy.address).discover("payments").wait_ready(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_view(view, lambda snapshot: snapshot.stale)
    payments.remove("a")
    payments.add("a", weight=2.0)
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: not snapshot.stale)
    assert view.instances[0].weight == (1.0 if planted else 2.0)


@pytest.mark.parametrize("planted", [False, True])
def test_a_registration_that_takes_whatever_is_on_its_path(
    make_client: MakeClient, truth: Truth, namespace: str, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """The node of another session is refused; with the bug it is written as if it were ours."""
    monkeypatch.setattr(Reconciler, "_learn", Reconciler._learn)  # put back afterwards
    if planted:
        plant("no-owner-guard")
    path = f"{namespace}/services/payments/a"
    truth.create(path, b"foreign", ephemeral=True)
    registration = make_client().register("payments", 8080, id="a", host="10.0.0.1", on_conflict="refuse")
    if not planted:
        with pytest.raises(RegistrationConflict):
            registration.wait_registered(LIMIT)
        assert truth.get(path).data == b"foreign"
    else:
        registration.wait_registered(LIMIT)
        assert truth.get(path).data != b"foreign"


@pytest.mark.parametrize("planted", [False, True])
def test_a_place_that_adopts_the_first_node_of_its_queue(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """After a creation whose answer is lost. It holds beside the owner of that node, with one fence."""
    monkeypatch.setattr(NumberedNode, "_find", NumberedNode._find)  # put back afterwards
    monkeypatch.setattr(Reconciler, "_learn", Reconciler._learn)
    if planted:
        plant("foreign-place")
    owner = make_client().lock("invoice").acquire(LIMIT)
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    fault = zkdiscovery_proxy.lose_reply("create")
    if planted:
        assert client.lock("invoice").acquire(LIMIT).fence == owner.fence
    else:
        with pytest.raises(LockTimeout):
            client.lock("invoice").acquire(1.5)
    assert fault.happened
    assert not owner.lost


@pytest.mark.parametrize("planted", [False, True])
def test_a_reader_that_watches_the_first_writer(
    make_client: MakeClient, truth: Truth, namespace: str, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """It begins beside the second one."""
    monkeypatch.setattr(QueuePlace, "_follow", QueuePlace._follow)  # put back afterwards
    if planted:
        plant("first-writer")
    writing, reading = make_client(), make_client()
    with ThreadPoolExecutor(2) as pool:
        first = writing.read_write_lock("index").write.acquire(LIMIT)
        second = pool.submit(writing.read_write_lock("index").write.acquire, LIMIT)
        wait_until(lambda: len(truth.children(f"{namespace}/locks/index")) == 2)
        reader = pool.submit(reading.read_write_lock("index").read.acquire, LIMIT)
        wait_until(lambda: len(truth.children(f"{namespace}/locks/index")) == 3)
        settle(reading)
        first.release()
        writer = second.result(LIMIT)
        if planted:
            assert not reader.result(LIMIT).lost
            assert not writer.lost
        else:
            settle(reading)
            assert not reader.done()
            writer.release()
            reader.result(LIMIT).release()


@pytest.mark.parametrize("planted", [False, True])
def test_a_limit_in_a_container(
    make_client: MakeClient, truth: Truth, namespace: str, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """It is gone with the container, which ZooKeeper deletes while it is empty, as is done here."""
    for module in (limit, leases, locks):
        for name in ("limit_path", "read_limit", "create_limit", "write_limit"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(module, name))  # put back afterwards
    if planted:
        plant("container-limit")
    root = f"{namespace}/semaphores/gpu"
    client = make_client()
    client.semaphore("gpu", 2).acquire(LIMIT).release()
    for queue in ("locks", "leases"):
        wait_until(lambda queue=queue: truth.children(f"{root}/{queue}") == [])
        truth.delete(f"{root}/{queue}")
    if planted:
        truth.delete(root)
        with pytest.raises(InvalidSettings, match="has no limit yet"):
            client.semaphore("gpu").acquire(LIMIT)
    else:
        with pytest.raises(NodeNotEmpty):
            truth.delete(root)
        client.semaphore("gpu").acquire(LIMIT).release()


@pytest.mark.parametrize("planted", [False, True])
def test_a_shard_that_is_taken_without_its_lock(
    make_client: MakeClient, truth: Truth, namespace: str, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    """The member that joins begins while the one that gives the shard up still consumes it."""
    monkeypatch.setattr(ShardPlace, "read_queue", ShardPlace.read_queue)  # put back afterwards
    if planted:
        plant("shard-without-lock")
    locks = f"{namespace}/shards/{NAME}/locks"
    with ExitStack() as stack:
        first = stack.enter_context(Consuming(make_client(), 2, 1.0))
        first.wait_held(2)
        first.finish.clear()
        second = stack.enter_context(Consuming(make_client(), 2, 1.0))
        wait_until(lambda: sum(len(truth.children(f"{locks}/{number}")) for number in range(2)) == 3)
        if planted:
            [shard] = second.begun.wait(bool)
            owner = next(each for each in first.begun.items if each.number == shard.number)
            assert not owner.hold.lost
            assert not shard.hold.lost
        else:
            settle(second.client)
            assert not second.begun.items
            first.finish.set()
            assert second.begun.wait(bool)
