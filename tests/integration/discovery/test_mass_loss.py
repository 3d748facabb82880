"""The guard against mass loss: who leaves politely is gone, who vanishes in a mass is kept as a suspect for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import MakeClient
from tests.integration.child import Child
from tests.integration.discovery.helpers import Written, ids
from tests.support import LIMIT, Recorder, Truth, wait_view
from zkdiscovery import Change, Guard, NoInstanceAvailable, Service, Settings, Snapshot, Status
from zkdiscovery.testing import FaultProxy, ZookeeperServer

OWNER = """
import sys
from zkdiscovery import Client
hosts, namespace, name = sys.argv[1:]
client = Client(hosts, namespace=namespace, session_timeout=1.0)
registration = client.register("payments", 8080, host="127.0.0.1", id=name).wait_registered(15.0)
print("registered")
"""
NAMES = ("a", "b", "c", "d")


class Owners:
    """Real processes, one for each instance."""

    def __init__(self, stack: ExitStack, server: ZookeeperServer, namespace: str) -> None:
        self._stack = stack
        self._arguments = (server.hosts, namespace)
        self.by_name: dict[str, Child] = {}

    def start(self, *names: str) -> None:
        for name in names:
            self.by_name[name] = self._stack.enter_context(Child(OWNER, *self._arguments, name))
        for name in names:
            self.by_name[name].wait_line("registered")


@pytest.fixture
def owners(zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Owners]:
    with ExitStack() as stack:
        owners = Owners(stack, zkdiscovery_server, namespace)
        owners.start(*NAMES)
        yield owners


def guarded(make_client: MakeClient, **guard: object) -> Service:
    return make_client(settings=Settings(guard=Guard.model_validate(guard))).discover("payments")


def heard(view: Service) -> Recorder[Change]:
    changes: Recorder[Change] = Recorder()
    view.on_change(changes)
    return changes


def removed(changes: Recorder[Change]) -> set[str]:
    return {instance.id for change in changes.items for instance in change.removed}


# -- real processes --


def test_three_of_four_leave_politely(make_client: MakeClient, owners: Owners) -> None:
    view = guarded(make_client).wait_ready(LIMIT, at_least=4)
    changes = heard(view)
    for name in "abc":
        owners.by_name[name].say("client.close(); print('closed')")
    for name in "abc":
        owners.by_name[name].wait_line("closed")
    changes.wait(lambda _: removed(changes) == {"a", "b", "c"})
    assert ids(view.instances) == {"d"}
    assert [change.after.suspects for change in changes.items if change.after.suspects] == []


def test_three_of_four_are_killed(make_client: MakeClient, owners: Owners) -> None:
    view = guarded(make_client, hold=60.0).wait_ready(LIMIT, at_least=4)
    changes = heard(view)
    for name in "abc":
        owners.by_name[name].kill()
    snapshot = wait_view(view, lambda snapshot: len(snapshot.suspects) == 3)
    assert (ids(snapshot), ids(snapshot.suspects)) == ({"d"}, {"a", "b", "c"})
    changes.wait(lambda _: removed(changes) == {"a", "b", "c"})
    assert {view.pick().id for _ in range(50)} == {"d"}, "no suspect while another is left"
    owners.start("a")  # a new process of the same id
    snapshot = wait_view(view, lambda snapshot: ids(snapshot) == {"a", "d"})
    assert ids(snapshot.suspects) == {"b", "c"}
    changes.wait(lambda seen: ids(seen[-1].added) == {"a"})


def test_all_four_are_killed(make_client: MakeClient, owners: Owners) -> None:
    view = guarded(make_client, hold=2.0).wait_ready(LIMIT, at_least=4)
    for name in NAMES:
        owners.by_name[name].kill()
    snapshot = wait_view(view, lambda snapshot: len(snapshot) == 0)
    assert ids(snapshot.suspects) == set(NAMES)
    assert ids(view.available) == set(NAMES)
    assert {view.pick().id for _ in range(200)} == set(NAMES), "nothing else is left"
    wait_view(view, lambda snapshot: snapshot.suspects == ())
    with pytest.raises(NoInstanceAvailable, match="none is registered"):
        view.pick()


# -- the rest needs no processes --


def settle_on(view: Service, payments: Written, *left: str) -> Snapshot:
    """A snapshot that came after everything done so far, in which only these are left."""
    payments.add("marker", status=Status.STARTING)
    # A deletion is held back for a moment, the marker is not.
    return wait_view(view, lambda snapshot: ids(snapshot) == {*left, "marker"})


def test_suspects_are_let_go(make_client: MakeClient, payments: Written, caplog: pytest.LogCaptureFixture) -> None:
    payments.add(*NAMES)
    view = guarded(make_client, hold=0.5).wait_ready(LIMIT, at_least=4)
    payments.remove("a", "b", "c")
    wait_view(view, lambda snapshot: len(snapshot.suspects) == 3)
    wait_view(view, lambda snapshot: not snapshot.suspects)
    assert ids(view.instances) == {"d"}
    for text in ("vanished within 2.0 s without deregistering", "kept as suspects for 0.5 s", "did not come back"):
        assert text in caplog.text


def test_a_pick_that_finds_suspects_alone_says_so(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "c", status=Status.STARTING)
    view = guarded(make_client, hold=60.0)
    wait_view(view, lambda snapshot: len(snapshot) == 3)
    payments.remove("a", "b", "c")
    wait_view(view, lambda snapshot: len(snapshot.suspects) == 3)
    with pytest.raises(NoInstanceAvailable, match="can be picked: 3 suspects"):
        view.pick()


def test_suspects_that_come_back_are_added_with_what_was_learnt(make_client: MakeClient, payments: Written) -> None:
    payments.add(*NAMES)
    view = guarded(make_client, hold=60.0).wait_ready(LIMIT, at_least=4)
    endpoint = view._endpoints._present["c"]  # the one that makes it a mass
    changes = heard(view)
    payments.remove("a", "b", "c")
    wait_view(view, lambda snapshot: len(snapshot.suspects) == 3)
    payments.add("a", "b", "c")
    wait_view(view, lambda snapshot: ids(snapshot) == set(NAMES))
    assert view.snapshot.suspects == ()
    changes.wait(lambda seen: view.snapshot is seen[-1].after)
    assert view._endpoints._present["c"] is endpoint


def test_draining_first_is_a_deregistration(make_client: MakeClient, payments: Written, truth: Truth) -> None:
    """Read or not: written and deleted at once, only the order of events shows it."""
    payments.add(*NAMES, "e", "f")
    view = guarded(make_client).wait_ready(LIMIT, at_least=6)
    payments.change("a", status=Status.DRAINING)
    payments.change("b", status=Status.OUT_OF_SERVICE)
    wait_view(view, lambda snapshot: sum(instance.status is not Status.UP for instance in snapshot) == 2)
    for name in "cde":
        payments.change(name, status=Status.DRAINING)
        payments.remove(name)
    payments.remove("a", "b")
    assert settle_on(view, payments, "f").suspects == ()


def test_half_is_no_mass(make_client: MakeClient, payments: Written) -> None:
    payments.add(*NAMES)
    view = guarded(make_client).wait_ready(LIMIT, at_least=4)
    payments.remove("a", "b")
    assert settle_on(view, payments, "c", "d").suspects == ()


def test_two_are_no_mass(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b")
    view = guarded(make_client).wait_ready(LIMIT, at_least=2)
    payments.remove("a", "b")
    wait_view(view, lambda snapshot: not snapshot.instances)  # or else the marker could count as one that is left
    assert settle_on(view, payments).suspects == ()


def test_switched_off(make_client: MakeClient, payments: Written) -> None:
    payments.add(*NAMES)
    view = guarded(make_client, enabled=False).wait_ready(LIMIT, at_least=4)
    payments.remove("a", "b", "c")
    assert settle_on(view, payments, "d").suspects == ()


def test_during_a_cut(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written) -> None:
    payments.add(*NAMES)
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT, at_least=4)
    zkdiscovery_proxy.refuse()
    payments.remove("a", "b", "c")
    zkdiscovery_proxy.heal()
    snapshot = wait_view(view, lambda snapshot: len(snapshot) == 1)
    assert ids(snapshot.suspects) == {"a", "b", "c"}
    assert not snapshot.stale


def test_suspects_are_picked_by_where(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", zone="west")
    payments.add("c", "d", zone="east")
    view = make_client().discover("payments", where=lambda instance: instance.zone == "west")
    view.wait_ready(LIMIT, at_least=2)
    payments.remove("a", "b", "c")
    wait_view(view, lambda snapshot: len(snapshot.suspects) == 3)
    assert ids(view.available) == {"a", "b"}, "d is left, but not for this view"
