"""What a client knows of a service: read once, kept in step by single reads, shared by its views, honest of its age."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import CODEC, Written, ids, make
from tests.integration.znodes.helpers import NO_READING, OPEN, SetAcl
from tests.support import LIMIT, Recorder, Truth, core_of, counting, join_feed, wait_state, wait_view
from zkdiscovery import Change, Client, NoInstanceAvailable, Picker, RoundRobin, Snapshot, State
from zkdiscovery.balancing import Endpoint
from zkdiscovery.session import Create, GetData, Sync
from zkdiscovery.testing import FaultProxy, ZookeeperServer
from zkdiscovery.testing.wire import four_letter_word

MANY = 10_000


def watched_paths(server: ZookeeperServer) -> list[str]:
    return re.findall(r"^(/\S*)", four_letter_word(server.hosts.split(",")[0], "wchp"), re.MULTILINE)


def settle(client: Client) -> None:
    """What the client has sent before has been answered."""
    session = core_of(client).session
    for request in (Sync("/"), GetData("/")):
        session.call(request, deadline=time.monotonic() + LIMIT)


class Follower:
    """Sees each snapshot of a cache, one by one, where views may skip some."""

    def __init__(self) -> None:
        self.snapshots: Recorder[Snapshot] = Recorder()

    def follow(self, change: Change) -> None:
        self.snapshots(change.after)


# -- how much is asked for --


def test_ten_thousand_instances(make_client: MakeClient, payments: Written) -> None:
    payments.add_many(MANY)
    client = make_client(session_timeout=10.0).wait_connected(LIMIT)
    with counting(client) as requests:
        view = client.discover("payments").wait_ready(LIMIT, at_least=MANY)
    # Of 4, 32 and 256 nodes while their size is unknown, then of 500.
    assert requests == {"SetWatches": 1, "GetChildren": 1, "MultiRead": 3 + 20}
    assert view.instances[0].metadata["key-4"] == "value-4"
    with counting(client) as requests:
        payments.add("one-more")
        wait_view(view, lambda snapshot: len(snapshot) == MANY + 1)
    assert requests == {"MultiRead": 1}
    with counting(client) as requests:
        payments.remove("i00000")
        wait_view(view, lambda snapshot: len(snapshot) == MANY)
    assert requests == {}


def test_a_storm_of_registrations(make_client: MakeClient, payments: Written, truth: Truth) -> None:
    truth.create(payments.path)
    client = make_client()
    view = client.discover("payments")
    wait_view(view, lambda snapshot: snapshot.loaded)
    before = view.snapshot.version
    acl, deadline = truth.session.leaf_acl, time.monotonic() + LIMIT
    storm = [(f"{payments.path}/i{number}", CODEC.encode(make("payments", f"i{number}"))) for number in range(1000)]
    with counting(client) as requests:
        for path, data in storm:
            truth.session.submit(Create(path, data, acl), deadline=deadline)
        wait_view(view, lambda snapshot: len(snapshot) == 1000)
    assert set(requests) == {"MultiRead"}
    assert requests["MultiRead"] <= 20
    assert view.snapshot.version - before <= 20


def test_views_of_one_service_share_one_cache(
    make_client: MakeClient, payments: Written, zkdiscovery_server: ZookeeperServer
) -> None:
    payments.add("a", "b")
    client = make_client()
    one = client.discover("payments").wait_ready(LIMIT)
    with counting(client) as requests:
        two = client.discover("payments", balancer="round_robin", where=lambda instance: instance.id == "a")
        two.wait_ready(LIMIT)
    assert requests == {}
    assert one.snapshot is two.snapshot
    assert (ids(one.available), ids(two.available)) == ({"a", "b"}, {"a"})
    one.close()
    settle(client)
    assert payments.path in watched_paths(zkdiscovery_server)
    payments.add("c")
    wait_view(two, lambda snapshot: len(snapshot) == 3)
    assert ids(one.instances) == {"a", "b"}, "the last snapshot stays readable"
    two.close()
    settle(client)
    assert payments.path not in watched_paths(zkdiscovery_server)
    again = client.discover("payments").wait_ready(LIMIT)
    assert ids(again.instances) == {"a", "b", "c"}


def test_a_view_opened_while_the_last_one_closes(make_client: MakeClient, payments: Written) -> None:
    payments.add("a")
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT)
    for number in range(20):
        view.close()
        view = client.discover("payments").wait_ready(LIMIT)
        payments.change("a", weight=float(number))
        wait_view(view, lambda snapshot, number=number: snapshot.instances[0].weight == number)


# -- what is missing or can't be used --


def test_a_service_that_comes_goes_and_comes_again(make_client: MakeClient, payments: Written, truth: Truth) -> None:
    view = make_client().discover("payments")
    assert wait_view(view, lambda snapshot: snapshot.loaded).instances == ()
    for name in ("a", "b"):
        payments.add(name)
        wait_view(view, lambda snapshot, name=name: ids(snapshot) == {name})
        payments.remove(name)
        truth.delete(payments.path)
        wait_view(view, lambda snapshot: len(snapshot) == 0)
    assert not view.snapshot.stale


def test_a_corrupt_sibling(
    make_client: MakeClient, payments: Written, truth: Truth, caplog: pytest.LogCaptureFixture
) -> None:
    payments.add("good", "bad")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=2)
    truth.set(f"{payments.path}/bad", b"{")
    snapshot = wait_view(view, lambda snapshot: len(snapshot) == 1)
    assert ids(snapshot) == {"good"}
    assert snapshot.rejected["bad"]
    assert snapshot.suspects == ()
    assert f"left out '{payments.path}/bad'" in caplog.text
    payments.change("good", weight=2.0)
    wait_view(view, lambda snapshot: snapshot.instances[0].weight == 2.0)
    assert set(view.snapshot.rejected) == {"bad"}
    payments.change("bad")
    wait_view(view, lambda snapshot: ids(snapshot) == {"good", "bad"})
    assert view.snapshot.rejected == {}


def test_a_node_that_is_too_large(make_client: MakeClient, payments: Written, truth: Truth) -> None:
    payments.add("good")
    truth.create(f"{payments.path}/large", b"{" + b" " * 65_536 + b"}")
    view = make_client().discover("payments").wait_ready(LIMIT)
    assert ids(view.instances) == {"good"}
    assert view.snapshot.rejected == {"large": "the znode holds 65538 bytes, the limit is 65536"}


def test_corruption_is_no_mass_loss(make_client: MakeClient, payments: Written, truth: Truth) -> None:
    """The nodes are there; their owners are alive."""
    payments.add("a", "b", "c", "d")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=4)
    for name in "abc":
        truth.set(f"{payments.path}/{name}", b"")
    snapshot = wait_view(view, lambda snapshot: len(snapshot.rejected) == 3)
    assert (ids(snapshot), snapshot.suspects) == ({"d"}, ())


def test_a_path_that_we_may_not_read(make_client: MakeClient, payments: Written, truth: Truth) -> None:
    payments.add("a")
    truth.call(SetAcl(payments.path, NO_READING))
    view = make_client().wait_connected(LIMIT).discover("payments")
    with pytest.raises(NoInstanceAvailable, match=f"not loaded yet: .*{payments.path}: the ACL forbids it") as raised:
        view.wait_ready(0.3)
    assert "Settings.auth" in str(raised.value), "says what to do"
    with pytest.raises(NoInstanceAvailable, match="the ACL forbids it"):
        view.pick()
    truth.call(SetAcl(payments.path, OPEN))
    assert view.wait_ready(LIMIT).pick().id == "a"


# -- cut off --


def test_stale_while_cut_off_until_the_reload(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written
) -> None:
    payments.add("a", "b")
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT)
    assert (view.snapshot.stale, view.snapshot.age) == (False, 0.0)
    follower = Follower()
    join_feed(view, follower)
    follower.snapshots.wait(lambda seen: len(seen) == 1)
    zkdiscovery_proxy.refuse()
    stale = wait_view(view, lambda snapshot: snapshot.stale)
    age = stale.age
    assert 0.0 < age < LIMIT
    assert stale.age > age, "it grows"
    assert {view.pick().id for _ in range(50)} == {"a", "b"}, "what is known serves on"
    assert "stale" in repr(view)
    payments.remove("a")
    payments.add("c")
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: not snapshot.stale)
    assert [(snapshot.stale, ids(snapshot)) for snapshot in follower.snapshots.items] == [
        (False, {"a", "b"}),
        (True, {"a", "b"}),
        (False, {"b", "c"}),
    ]


def test_a_view_opened_while_cut_off(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written) -> None:
    payments.add("a")
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    view = client.discover("payments")
    with pytest.raises(NoInstanceAvailable, match="not loaded yet: no connection to ZooKeeper at"):
        view.wait_ready(0.2)
    assert view.snapshot.stale
    zkdiscovery_proxy.heal()
    assert view.wait_ready(LIMIT).pick().id == "a"


def test_recreated_during_a_cut_with_the_same_version(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written
) -> None:
    payments.add("a", weight=1.0)
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    payments.remove("a")
    payments.add("a", weight=2.0)
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: snapshot.instances[0].weight == 2.0)


def test_an_expired_session_reloads(
    make_client: MakeClient,
    zkdiscovery_proxy: FaultProxy,
    payments: Written,
    zkdiscovery_expire: Callable[[Client], None],
) -> None:
    payments.add("a")
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT)
    zkdiscovery_expire(client)
    payments.add("b")
    wait_view(view, lambda snapshot: ids(snapshot) == {"a", "b"} and not snapshot.stale)
    payments.add("c")
    wait_view(view, lambda snapshot: len(snapshot) == 3)


def test_a_balancer_that_fails_leaves_the_other_views_alone(
    make_client: MakeClient, payments: Written, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        """Builds the picker of an empty set, and fails on any other."""

        def build(self, endpoints: Sequence[Endpoint]) -> Picker:
            if endpoints:
                raise ValueError("a defect")
            return RoundRobin().build(endpoints)

    payments.add("a")
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT)
    broken = client.discover("payments", balancer=Broken())
    after = client.discover("payments").wait_ready(LIMIT)
    payments.add("b")
    wait_view(view, lambda snapshot: len(snapshot) == 2)
    wait_view(after, lambda snapshot: len(snapshot) == 2)
    assert {instance.id for instance in broken.instances} == {"a", "b"}
    with pytest.raises(NoInstanceAvailable, match="the balancer failed: ValueError: a defect"):
        broken.pick()
    assert "the balancer of the view of 'payments' failed" in caplog.text
