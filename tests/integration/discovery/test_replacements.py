"""An instance that is replaced in one transaction is never absent, though its node is deleted and created."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import CODEC, Written, ids, make
from tests.support import LIMIT, Recorder, Truth, feed_of, join_feed, wait_view
from zkdiscovery import Change, Service, Status
from zkdiscovery.session import Create, Delete, Multi
from zkdiscovery.znodes import watched

TIMES = 400


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than usual between two events of one transaction."""
    monkeypatch.setattr(watched, "ONE_TRANSACTION", 5.0)


class Follower:
    """Notes each change of a cache, one by one."""

    def __init__(self, view: Service) -> None:
        self.changes: Recorder[Change] = Recorder()
        join_feed(view, self)

    def follow(self, change: Change) -> None:
        self.changes(change)

    def removals(self) -> list[str]:
        """Ids of whoever was gone in some snapshot, though it had been there."""
        return [name for change in self.changes.items for name, (_, new) in change.delta.items() if new is None]


def replace(payments: Written, name: str, **fields: object) -> None:
    """As `on_conflict="replace"` does."""
    path = f"{payments.path}/{name}"
    data = CODEC.encode(make("payments", name, **fields))
    payments.truth.call(Multi([Delete(path), Create(path, data, payments.truth.session.leaf_acl)]))


@pytest.mark.usefixtures("patient")
def test_who_is_replaced_is_never_absent(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "c")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=3)
    follower = Follower(view)
    for number in range(1, TIMES + 1):
        replace(payments, "a", weight=float(number))
    wait_view(view, lambda snapshot: any(instance.weight == TIMES for instance in snapshot))
    assert follower.removals() == []
    assert all(len(change.after) == 3 for change in follower.changes.items)
    assert view.snapshot.suspects == ()


@pytest.mark.usefixtures("patient")
def test_a_registration_that_replaces_another_is_never_absent(
    make_client: MakeClient, payments: Written, truth: Truth
) -> None:
    view = make_client().discover("payments")
    first = make_client().register("payments", 8080, host="127.0.0.1", id="a").wait_registered(LIMIT)
    view.wait_ready(LIMIT)
    follower = Follower(view)
    for number in range(20):
        second = make_client().register("payments", 9000 + number, host="127.0.0.1", id="a").wait_registered(LIMIT)
    wait_view(view, lambda snapshot: [instance.port for instance in snapshot] == [second.instance.port])
    assert follower.removals() == []
    assert first.state != second.state
    second.close()
    wait_view(view, lambda snapshot: len(snapshot) == 0)


def test_nothing_else_is_deferred(make_client: MakeClient, payments: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deregistrations are applied at once, and so is what happens to others."""
    monkeypatch.setattr(watched, "ONE_TRANSACTION", 1000.0)
    payments.add("gone", "leaving", "draining", "other")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=4)
    payments.remove("gone")
    payments.change("draining", status=Status.DRAINING)
    wait_view(view, lambda snapshot: any(instance.status is Status.DRAINING for instance in snapshot))
    payments.change("leaving", status=Status.DRAINING)
    payments.remove("leaving", "draining")
    wait_view(view, lambda snapshot: ids(snapshot) == {"gone", "other"})
    for number in range(10):
        payments.add(f"new-{number}")
        payments.change("other", weight=2.0 + number)
        wait_view(view, lambda snapshot, number=number: {i.weight for i in snapshot} >= {2.0 + number})
    assert feed_of(view)._children.pacing.pause == 0.0, "a deferred deletion is no storm"
    payments.add("gone", weight=9.0)
    wait_view(view, lambda snapshot: any(instance.weight == 9.0 for instance in snapshot))
    payments.remove("gone")
    payments.add("last")
    assert "gone" in ids(wait_view(view, lambda snapshot: "last" in ids(snapshot)))
    view.close()


def test_who_does_not_come_back_is_gone(make_client: MakeClient, payments: Written) -> None:
    """Without a further event, and for the guard as before."""
    payments.add("a", "b", "c", "d")
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT, at_least=4)
    payments.remove("a")
    assert wait_view(view, lambda snapshot: ids(snapshot) == {"b", "c", "d"}).suspects == ()
    payments.remove("b", "c", "d")
    wait_view(view, lambda snapshot: ids(snapshot.suspects) == {"a", "b", "c", "d"} and len(snapshot) == 0)
