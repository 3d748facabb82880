"""What other clients' caches got wrong, or found worth a test: ours on the same scenarios."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import MakeClient
from tests.faults.discovery.helpers import Observer, Tap, between, live, quiesce, watched_paths, weights
from tests.integration.discovery.helpers import Written, ids
from tests.support import LIMIT, Recorder, Truth, core_of, counting, wait_state, wait_view
from zkdiscovery import Change, Client, State
from zkdiscovery.discovery import Discovery
from zkdiscovery.session.requests import MultiRead
from zkdiscovery.testing import FaultProxy, ZookeeperServer


def test_a_parent_made_again_during_a_cut_with_the_same_cversion(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written, truth: Truth
) -> None:
    """Curator's cache stays empty while an instance is up (peers.md defect 2)."""
    truth.create(payments.path)
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments")
    payments.add("a")
    wait_view(view, lambda snapshot: ids(snapshot) == {"a"})
    before = truth.get(payments.path)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    payments.remove("a")
    truth.delete(payments.path)
    payments.add("b")
    after = truth.get(payments.path)
    assert before is not None
    assert after is not None
    assert before.stat.cversion == after.stat.cversion == 1
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: ids(snapshot) == {"b"} and not snapshot.stale)
    payments.add("c")
    wait_view(view, lambda snapshot: ids(snapshot) == {"b", "c"})


def test_a_parent_that_is_gone_after_a_cut_and_comes_back(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written, truth: Truth
) -> None:
    """kazoo's ChildrenWatch is dead for good on NoNode; tooz and Curator throw on a missing base path."""
    payments.add("a")
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT)
    for name in "bc":
        zkdiscovery_proxy.refuse()
        wait_state(client, State.SUSPENDED)
        payments.remove(*truth.children(payments.path))
        truth.delete(payments.path)
        zkdiscovery_proxy.heal()
        wait_view(view, lambda snapshot: not snapshot.stale and not snapshot.instances)
        payments.add(name)
        wait_view(view, lambda snapshot, name=name: ids(snapshot) == {name})


def test_an_update_that_is_corrupt_and_comes_during_a_cut(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written, truth: Truth
) -> None:
    """Curator keeps the old value and says nothing (peers.md defect 11)."""
    payments.add("good", "bad")
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT, at_least=2)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    wait_view(view, lambda snapshot: snapshot.stale)
    truth.set(f"{payments.path}/bad", b"{")
    zkdiscovery_proxy.heal()
    snapshot = wait_view(view, lambda snapshot: not snapshot.stale)
    assert (ids(snapshot), set(snapshot.rejected), snapshot.suspects) == ({"good"}, {"bad"}, ())
    zkdiscovery_proxy.drop()
    wait_view(view, lambda later: later.version > snapshot.version and not later.stale)
    assert set(view.snapshot.rejected) == {"bad"}, "unchanged, and still refused"
    payments.change("bad", weight=2.0)
    wait_view(view, lambda snapshot: weights(snapshot) == {"good": 1.0, "bad": 2.0})


def test_a_blip_costs_one_reload_no_write_and_tells_no_change(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written
) -> None:
    """Curator reads each node of its own and writes it anew (peers.md defect 12)."""
    payments.add_many(1200)
    client = make_client(zkdiscovery_proxy.address)
    tap = Tap(zkdiscovery_proxy)
    view = client.discover("payments").wait_ready(LIMIT, at_least=1200)
    first = +tap.requests
    told: Recorder[Change] = Recorder()
    view.on_change(told)
    told.wait(lambda changes: len(changes) == 1)
    before = view.snapshot
    for _ in range(2):
        # What went on before is over: the only requests from here on are those of the blip.
        quiesce(client)
        tap.requests.clear()
        known = view.snapshot.version
        zkdiscovery_proxy.drop()
        wait_view(view, lambda snapshot, known=known: snapshot.version > known + 1 and not snapshot.stale)
        for requests in (first, tap.requests):
            requests.pop("ping", None)
        # The sizes of the nodes are known by now, so a reload takes fewer reads, if anything.
        assert 1 <= tap.requests["multi_read"] <= first["multi_read"]
        assert +(first - tap.requests) == Counter(multi_read=first["multi_read"] - tap.requests["multi_read"])
        assert not tap.requests - first
    assert (first["connect"], first["set_watches"], first["get_children"]) == (1, 1, 1)
    assert set(first) == {"connect", "set_watches", "get_children", "multi_read"}
    quiesce(client)
    assert view.instances == before.instances
    assert [(change.added, change.removed, change.updated) for change in told.items[1:]] == [((), (), ())] * (
        len(told.items) - 1
    )


def test_nodes_that_come_change_and_go_between_the_list_and_the_reads(
    make_client: MakeClient, payments: Written
) -> None:
    """Curator: TestServiceCache.testInitialLoad, "children gone between list and watch"."""
    payments.add("same", "changed", "gone", "again", weight=1.0)

    def meddle() -> None:
        payments.change("changed", weight=2.0)
        payments.remove("gone", "again")
        payments.add("again", weight=2.0)
        payments.add("new", weight=2.0)

    client = make_client().wait_connected(LIMIT)
    between(client, MultiRead, meddle)
    view = client.discover("payments")
    truth = {"same": 1.0, "changed": 2.0, "again": 2.0, "new": 2.0}
    wait_view(view, lambda snapshot: weights(snapshot) == truth)
    quiesce(client)
    assert weights(view.snapshot) == truth


def test_nodes_that_change_while_a_change_is_read(make_client: MakeClient, payments: Written) -> None:
    """The event comes before the answer that knows of it; the change must be read again, or seen at once."""
    payments.add("a", "b", weight=1.0)
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT, at_least=2)
    observer = Observer(view)

    def meddle() -> None:
        payments.change("a", weight=3.0)
        payments.remove("b")
        payments.add("b", weight=3.0)

    for _ in range(2):
        between(client, MultiRead, meddle)
        payments.change("a", weight=2.0)
        wait_view(view, lambda snapshot: weights(snapshot) == {"a": 3.0, "b": 3.0})
        quiesce(client)
        assert weights(view.snapshot) == {"a": 3.0, "b": 3.0}
        observer.seen.clear()  # the next round writes smaller weights
    assert observer.backwards == []


def test_nodes_that_are_written_anew_as_they_were_are_no_change(
    make_client: MakeClient, payments: Written, zkdiscovery_proxy: FaultProxy
) -> None:
    """What users ask of the peers: no spurious refreshes. An owner whose session expired registers what it was."""
    payments.add("a", "b", weight=1.0)
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT, at_least=2)
    told: Recorder[Change] = Recorder()
    view.on_change(told)
    told.wait(lambda changes: len(changes) == 1)
    before = view.snapshot
    with counting(client) as requests:
        payments.change("a", weight=1.0)
        quiesce(client)
    assert requests["MultiRead"] == 1, "it was read"
    assert view.snapshot is before
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    payments.remove("a", "b")
    payments.add("a", "b", weight=1.0)
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: snapshot.version > before.version + 1 and not snapshot.stale)
    payments.change("b", weight=2.0)
    told.wait(lambda changes: bool(changes[-1].updated))
    assert [ids(change.updated) for change in told.items if change.delta] == [set(), {"b"}]


def test_a_callback_that_raises_is_called_once_for_each_change(
    make_client: MakeClient, payments: Written, caplog: pytest.LogCaptureFixture
) -> None:
    """kazoo's DataWatch calls a function that raises TypeError twice, and its ChildrenWatch ends."""
    view = make_client().discover("payments")
    wait_view(view, lambda snapshot: snapshot.loaded)
    told: Recorder[set[str]] = Recorder()

    def fail(change: Change) -> None:
        told(ids(change.added))
        raise TypeError("a defect of the user")

    view.on_change(fail)
    told.wait(lambda calls: calls == [set()])
    for number, name in enumerate("abc", start=2):
        payments.add(name)
        told.wait(lambda calls, number=number: len(calls) == number)
    assert told.items == [set(), {"a"}, {"b"}, {"c"}]
    assert caplog.text.count("it stays subscribed") >= 3


def test_views_opened_and_closed_at_once_on_many_threads(
    make_client: MakeClient,
    payments: Written,
    namespace: str,
    zkdiscovery_server: ZookeeperServer,
    zkdiscovery_proxy: FaultProxy,
) -> None:
    """Curator: concurrent close of caches; on the way the connection breaks."""
    payments.add("a", "b")
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    start = threading.Barrier(5)

    def churn(thread: int) -> None:
        start.wait(LIMIT)
        for number in range(100):
            view = client.discover("payments" if number % 2 else f"other-{thread}")
            if number % 10 == 1:
                view.wait_ready(LIMIT, at_least=2)
            view.close()

    with ThreadPoolExecutor(4) as pool:
        churning = [pool.submit(churn, thread) for thread in range(4)]
        start.wait(LIMIT)
        zkdiscovery_proxy.drop()
        for future in churning:
            future.result(LIMIT)
    quiesce(client)
    session = core_of(client).session
    assert (client.feature(Discovery)._feeds, session.watches._by_path) == ({}, {})
    assert [path for path in watched_paths(zkdiscovery_server) if path.startswith(namespace)] == []
    assert ids(client.discover("payments").wait_ready(LIMIT, at_least=2).instances) == {"a", "b"}


def test_a_session_that_expires_again_and_again(
    make_client: MakeClient,
    payments: Written,
    zkdiscovery_proxy: FaultProxy,
    zkdiscovery_expire: Callable[[Client], None],
) -> None:
    """Curator: a node recreated after each of several expiries."""
    payments.add("a", weight=1.0)
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT)
    observer = Observer(view)
    for number in range(2, 6):
        epoch = core_of(client).session.epoch
        zkdiscovery_expire(client)
        payments.remove("a")
        payments.add("a", weight=float(number))
        wait_view(view, lambda snapshot, number=number: weights(snapshot) == {"a": number} and live(view))
        assert core_of(client).session.epoch <= epoch + 1
    assert observer.backwards == []


@pytest.mark.parametrize("balancer", ["round_robin", "p2c_ewma"])
def test_picks_go_on_through_everything(
    make_client: MakeClient,
    payments: Written,
    zkdiscovery_proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    balancer: str,
) -> None:
    """Curator's round robin throws when its counter overflows (peers.md defect 10): ours begins just before that."""
    monkeypatch.setattr("zkdiscovery.balancing.simple.count", lambda: itertools.count(2**63 - 50))
    payments.add("a", "b", "c")
    view = make_client(zkdiscovery_proxy.address).discover("payments", balancer=balancer).wait_ready(LIMIT, at_least=3)
    assert {view.pick().id for _ in range(100)} == {"a", "b", "c"}
    zkdiscovery_proxy.refuse()
    wait_view(view, lambda snapshot: snapshot.stale)
    assert {view.pick().id for _ in range(100)} == {"a", "b", "c"}
    payments.remove("c")
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: not snapshot.stale)
    assert {view.pick().id for _ in range(100)} == {"a", "b"}
