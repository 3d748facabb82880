"""A request or an answer of a cache is lost, or cut in the middle: asked again, nothing is missed or half told."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.faults.discovery.helpers import Observer, between, live, quiesce, watched_paths, weights
from tests.integration.discovery.helpers import Written, ids
from tests.support import LIMIT, Recorder, core_of, join_feed, wait_view
from zkdiscovery import Change
from zkdiscovery.session.requests import MultiRead
from zkdiscovery.testing import FaultProxy, ZookeeperServer

MANY = 1200  # instances: three bulk reads


@pytest.mark.parametrize("lost", ["request", "reply"])
@pytest.mark.parametrize("kind", ["set_watches", "get_children", "multi_read"])
def test_the_first_load(
    make_client: MakeClient,
    zkdiscovery_proxy: FaultProxy,
    zkdiscovery_server: ZookeeperServer,
    payments: Written,
    kind: str,
    lost: str,
) -> None:
    """Curator: missed response. A watch whose answer was lost is neither missing nor set twice."""
    payments.add("a", "b")
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    loss = (zkdiscovery_proxy.lose_request if lost == "request" else zkdiscovery_proxy.lose_reply)(kind)
    view = client.discover("payments")
    assert loss.wait(LIMIT)
    wait_view(view, lambda snapshot: live(view) and ids(snapshot) == {"a", "b"})
    payments.add("c")
    payments.remove("a")
    wait_view(view, lambda snapshot: ids(snapshot) == {"b", "c"})
    assert core_of(client).session.generation == 2
    assert watched_paths(zkdiscovery_server).count(payments.path) == 1


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_the_read_of_a_change(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written, lost: str
) -> None:
    """The event was heard, what it told of was not read; in the meantime it is another node."""
    payments.add("a", "b", weight=1.0)
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT, at_least=2)
    observer = Observer(view)
    for number in (2.0, 4.0):
        loss = (zkdiscovery_proxy.lose_request if lost == "request" else zkdiscovery_proxy.lose_reply)("multi_read")
        payments.change("a", weight=number)
        assert loss.wait(LIMIT)
        payments.remove("b")
        payments.add("b", weight=number)
        wait_view(view, lambda snapshot, n=number: live(view) and weights(snapshot) == {"a": n, "b": n})
    quiesce(client)
    assert observer.backwards == []


class Following:
    """Sees each snapshot of a cache, one by one, where callbacks may skip some."""

    def __init__(self, follow: Recorder[Change]) -> None:
        self.follow = follow


def test_a_reset_in_the_middle_of_a_bulk_answer(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written
) -> None:
    """Half an answer tells nothing: the first snapshot is whole, and so is the one after a reload."""
    payments.add_many(MANY)
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    session = core_of(client).session

    def cut() -> None:
        zkdiscovery_proxy.reset_mid_frame("server_to_client")

    between(client, MultiRead, cut)
    view = client.discover("payments")
    told: Recorder[Change] = Recorder()
    following = Following(told)
    join_feed(view, following)
    wait_view(view, lambda snapshot: snapshot.loaded)
    assert (len(view.snapshot), session.generation) == (MANY, 2)
    before = view.snapshot
    between(client, MultiRead, cut)
    zkdiscovery_proxy.drop()
    wait_view(view, lambda snapshot: snapshot.version > before.version + 1 and not snapshot.stale)
    quiesce(client)
    assert view.instances == before.instances
    assert session.generation == 4
    assert {len(change.after) for change in told.items} == {0, MANY}
    assert [len(change.delta) for change in told.items if change.delta] == [MANY]


def test_a_reset_in_the_middle_of_an_event(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written
) -> None:
    """The change is seen all the same."""
    payments.add("a", weight=1.0)
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT)
    for number in (2.0, 3.0, 4.0):
        quiesce(client)
        zkdiscovery_proxy.reset_mid_frame("server_to_client")
        payments.change("a", weight=number)
        wait_view(view, lambda snapshot, n=number: live(view) and weights(snapshot) == {"a": n})
