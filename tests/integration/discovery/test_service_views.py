"""Views: waiting, why there is nothing to pick, changes, picks and calls."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import Written, ids
from tests.support import LIMIT, Recorder, Truth, core_of, wait_view
from zkdiscovery import (
    AuthenticationFailed,
    Change,
    ClientClosed,
    InvalidName,
    InvalidSettings,
    NoInstanceAvailable,
    Service,
    Status,
    UnsupportedServer,
)
from zkdiscovery.balancing import Endpoint, RoundRobin
from zkdiscovery.balancing.interface import Picker
from zkdiscovery.testing import FaultProxy


def whys(view: Service, *, exclude: tuple[str, ...] = ()) -> str:
    """What a pick says that has nothing to give."""
    with pytest.raises(NoInstanceAvailable) as raised:
        view.pick(exclude=exclude)
    return str(raised.value)


# -- waiting, and why there is nothing --


def test_wait_ready(make_client: MakeClient, payments: Written) -> None:
    view = make_client().discover("payments")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(view.wait_ready, LIMIT, at_least=2)
        payments.add("starting", status=Status.STARTING)
        payments.add("a", "b")
        assert waiting.result(LIMIT) is view
    assert ids(view.available) == {"a", "b"}
    assert ids(view.instances) == {"a", "b", "starting"}


def test_why_there_is_nothing(make_client: MakeClient, payments: Written, truth: Truth) -> None:
    view = make_client().discover("payments")
    wait_view(view, lambda snapshot: snapshot.loaded)
    assert whys(view) == "no instance of 'payments' can be picked: none is registered below " + payments.path
    payments.add("a", "b", "c", status=Status.STARTING)
    payments.add("d", status=Status.DOWN)
    for name in ("bad", "worse"):
        truth.create(f"{payments.path}/{name}", b"nonsense")
    wait_view(view, lambda snapshot: len(snapshot) == 4 and len(snapshot.rejected) == 2)
    assert whys(view) == "no instance of 'payments' can be picked: 1 DOWN, 3 STARTING, 2 rejected"
    with pytest.raises(NoInstanceAvailable, match="0 of 2 instances of 'payments' can be picked: 1 DOWN, 3 STARTING"):
        view.wait_ready(0.05, at_least=2)
    payments.add("e", "f")
    wait_view(view, lambda snapshot: len(snapshot) == 6)
    assert whys(view, exclude=("e", "f")).endswith(": 2 UP, 1 DOWN, 3 STARTING, 2 excluded, 2 rejected")
    with pytest.raises(NoInstanceAvailable, match="2 of 3 instances of 'payments' can be picked: 2 UP"):
        view.wait_ready(0.05, at_least=3)


def test_where_nothing_is_accepted(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", zone="west")
    payments.add("b", zone="east")
    view = make_client().discover("payments", where=lambda instance: instance.zone == "north")
    wait_view(view, lambda snapshot: len(snapshot) == 2)
    assert whys(view).endswith(": 2 UP but not accepted by `where`")
    assert ids(view.instances) == {"a", "b"}, "where is about picks"


def test_where_is_asked_again_when_an_instance_changes(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", zone="west")
    payments.add("b", zone="east")
    view = make_client().discover("payments", where=lambda instance: instance.zone == "west").wait_ready(LIMIT)
    assert ids(view.available) == {"a"}
    payments.change("a", zone="east")
    payments.change("b", zone="west")
    wait_view(view, lambda snapshot: {i.id: i.zone for i in snapshot} == {"a": "east", "b": "west"})
    assert ids(view.available) == {"b"}


def test_where_that_raises_leaves_out_that_instance(
    make_client: MakeClient, payments: Written, caplog: pytest.LogCaptureFixture
) -> None:
    payments.add("a", metadata={"rack": "1"})
    payments.add("b")
    view = make_client().discover("payments", where=lambda instance: instance.metadata["rack"] == "1")
    assert ids(view.wait_ready(LIMIT).available) == {"a"}
    assert "the `where` of the view of 'payments' raised; b is left out" in caplog.text


def test_closed_before_it_was_loaded(make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    zkdiscovery_proxy.refuse()
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(view.wait_ready, LIMIT)
        view.close()
        with pytest.raises(ClientClosed, match="the view of 'payments' was closed"):
            waiting.result(LIMIT)
    with pytest.raises(ClientClosed, match="the view of 'payments' was closed"):
        view.pick()


@pytest.mark.parametrize("error", [AuthenticationFailed("refused"), UnsupportedServer("too old")])
def test_what_can_never_be_is_told_as_such(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, error: AuthenticationFailed
) -> None:
    zkdiscovery_proxy.refuse()
    client = make_client(zkdiscovery_proxy.address)
    view, registration = client.discover("payments"), client.register("payments", 8080, host="127.0.0.1")
    waits = (view.wait_ready, registration.wait_registered, client.wait_connected)
    with ThreadPoolExecutor(len(waits)) as pool:
        waiting = [pool.submit(wait, 10 * LIMIT) for wait in waits]
        core_of(client).session.fail(error, final=True)
        for future in waiting:
            with pytest.raises(type(error), match=str(error)):
                future.result(LIMIT)


def test_no_server_at_all(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written) -> None:
    zkdiscovery_proxy.refuse()
    view = make_client(zkdiscovery_proxy.address).discover("payments")
    assert "not loaded yet: no connection to ZooKeeper at 127.0.0.1:" in whys(view)
    payments.add("a")
    zkdiscovery_proxy.heal()
    assert view.wait_ready(LIMIT).pick().id == "a"
    zkdiscovery_proxy.refuse()
    payments.remove("a")
    wait_view(view, lambda snapshot: snapshot.stale)
    assert "not in contact with ZooKeeper for" in whys(view, exclude=("a",))


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", "a\0", "x" * 256])
def test_names_of_services(make_client: MakeClient, name: str) -> None:
    with pytest.raises(InvalidName, match="the service name"):
        make_client().discover(name)


@pytest.mark.parametrize("preferences", [{"where": "zone == 'a'"}, {"classify": "x"}, {"classify": None}])
def test_what_is_no_function(make_client: MakeClient, preferences: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettings, match="must be a function: got "):
        make_client().discover("payments", **preferences)


class Picky:
    """Refuses sets of more than one."""

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        if len(endpoints) > 1:
            raise KeyError("too many")
        return RoundRobin().build(endpoints)


def test_a_balancer_that_fails_is_named_and_the_picks_go_on_as_before(
    make_client: MakeClient, payments: Written, caplog: pytest.LogCaptureFixture
) -> None:
    payments.add("a")
    client = make_client()
    view = client.discover("payments", balancer=Picky()).wait_ready(LIMIT)
    payments.add("b")
    wait_view(view, lambda snapshot: len(snapshot) == 2)
    assert view.pick().id == "a"
    assert "the balancer of the view of 'payments' failed" in caplog.text
    with pytest.raises(NoInstanceAvailable, match="the balancer failed: KeyError: 'too many'"):
        client.discover("payments", balancer=Picky()).wait_ready(0.5)
    payments.remove("a")
    wait_view(view, lambda snapshot: ids(snapshot) == {"b"})
    assert view.pick().id == "b"


def test_unknown_balancers(make_client: MakeClient) -> None:
    with pytest.raises(InvalidSettings, match="p2c_ewma"):
        make_client().discover("payments", balancer="best")


# -- changes --


def test_changes_are_told_in_order_and_what_is_known_comes_first(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b")
    view = make_client().discover("payments").wait_ready(LIMIT)
    changes: Recorder[Change] = Recorder()
    with view.on_change(changes):
        (first,) = changes.wait(lambda seen: len(seen) == 1)
        assert (ids(first.added), first.removed, first.updated) == ({"a", "b"}, (), ())
        payments.add("c")
        changes.wait(lambda seen: ids(seen[-1].added) == {"c"})
        payments.change("c", weight=3.0)
        changes.wait(lambda seen: ids(seen[-1].updated) == {"c"} and seen[-1].updated[0].weight == 3.0)
        payments.remove("a")
        changes.wait(lambda seen: ids(seen[-1].removed) == {"a"})
    for earlier, later in zip(changes.items, changes.items[1:], strict=False):
        assert earlier.after is later.before
    payments.add("d")
    wait_view(view, lambda snapshot: len(snapshot) == 3)
    assert changes.items[-1].added == (), "the subscription has ended"


def test_a_slow_subscriber_gets_one_merged_change_and_delays_nobody(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b")
    view = make_client().discover("payments").wait_ready(LIMIT)
    entered, leave = threading.Event(), threading.Event()
    changes: Recorder[Change] = Recorder()

    def slow(change: Change) -> None:
        entered.set()
        assert leave.wait(LIMIT)
        changes(change)

    view.on_change(slow)
    assert entered.wait(LIMIT)
    payments.add("c", "d")
    payments.remove("a", "c")
    payments.change("b", weight=2.0)
    wait_view(view, lambda snapshot: ids(snapshot) == {"b", "d"} and snapshot.instances[0].weight == 2.0)
    leave.set()
    _, merged = changes.wait(lambda seen: len(seen) == 2)
    assert (ids(merged.added), ids(merged.removed), ids(merged.updated)) == ({"d"}, {"a"}, {"b"})
    assert merged.after is view.snapshot


def test_a_callback_may_do_anything(make_client: MakeClient, payments: Written) -> None:
    client = make_client()
    view = client.discover("payments")
    seen: Recorder[str] = Recorder()

    def busy(change: Change) -> None:
        for instance in change.added:
            if instance.id == "raise":
                raise ValueError("a defect")
            seen(client.discover("payments").wait_ready(LIMIT).pick().id)
            seen(client.instances("payments")[0].id)
            if instance.id == "close":
                client.close()
                seen("closed")

    view.on_change(busy)
    payments.add("raise")
    wait_view(view, lambda snapshot: len(snapshot) == 1)
    payments.add("close")
    seen.wait(lambda items: items[-1:] == ["closed"])
    assert view._closed


def test_looping_over_changes(make_client: MakeClient, payments: Written) -> None:
    payments.add("a")
    view = make_client().discover("payments").wait_ready(LIMIT)
    loop = view.changes(timeout=LIMIT)
    assert ids(next(loop).added) == {"a"}
    payments.add("b")
    wait_view(view, lambda snapshot: len(snapshot) == 2)
    payments.remove("a")
    wait_view(view, lambda snapshot: len(snapshot) == 1)
    merged = next(loop)
    assert (ids(merged.added), ids(merged.removed)) == ({"b"}, {"a"}), "nothing is lost between two turns"
    loop.close()
    assert view._mailboxes == {}


def test_a_loop_over_changes_ends_at_its_time_limit(make_client: MakeClient, payments: Written) -> None:
    payments.add("a")
    view = make_client().discover("payments").wait_ready(LIMIT)
    assert [ids(change.added) for change in view.changes(timeout=0.05)] == [{"a"}]


@pytest.mark.parametrize("what", ["view", "client"])
def test_a_loop_over_changes_ends_with_its_view_or_client(
    make_client: MakeClient, payments: Written, what: str
) -> None:
    payments.add("a")
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT)
    first = threading.Event()

    def loop() -> int:
        turns = 0
        for _ in view.changes():
            turns += 1
            first.set()
        return turns

    with ThreadPoolExecutor(1) as pool:
        turns = pool.submit(loop)
        assert first.wait(LIMIT)
        (view if what == "view" else client).close()
        assert turns.result(LIMIT) == 1


def test_an_async_callback_is_refused(make_client: MakeClient) -> None:
    async def callback(change: Change) -> None: ...

    client = make_client()
    with pytest.raises(TypeError, match="must be a plain function, not `async def`"):
        client.discover("payments").on_change(callback)
    with pytest.raises(TypeError, match="must be a plain function, not `async def`"):
        client.on_change(callback)


# -- life --


def test_a_closed_view_is_stale_follows_no_more_and_picks_nothing(make_client: MakeClient, payments: Written) -> None:
    payments.add("a")
    client = make_client()
    with client.discover("payments") as view:
        view.wait_ready(LIMIT)
    view.close()
    other = client.discover("payments").wait_ready(LIMIT)
    payments.add("b")
    wait_view(other, lambda snapshot: len(snapshot) == 2)
    assert ids(view.instances) == {"a"}
    assert view.snapshot.stale
    for use in (view.pick, view.wait_ready, lambda: view.call(str), view.attempt().__enter__):
        with pytest.raises(ClientClosed, match=r"discover\(\) it again"):
            use()
    assert repr(view) == "<Service 'payments' closed available=1 of 1>"
    assert repr(other) == "<Service 'payments' live available=2 of 2>"


def test_views_can_not_be_pickled(make_client: MakeClient) -> None:
    with pytest.raises(TypeError, match=r"call discover\(\) in the other process"):
        pickle.dumps(make_client().discover("payments"))


def test_discovering_with_a_closed_client(make_client: MakeClient) -> None:
    client = make_client()
    client.close()
    with pytest.raises(ClientClosed, match="make a new one"):
        client.discover("payments")
