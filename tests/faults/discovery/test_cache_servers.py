"""Caches over crashes of their only server: killed, frozen, emptied, full of nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.discovery.helpers import Observer, weights
from tests.integration.discovery.helpers import Written, ids
from tests.support import IN_FULL, LIMIT, Truth, core_of, wait_epoch, wait_state, wait_view
from zkdiscovery import Client, State
from zkdiscovery.session import Create, Multi
from zkdiscovery.testing import FaultProxy, ZookeeperServer

MANY = 65_536 + 500 if IN_FULL else 5_000  # nodes; more than two bytes count
TIMEOUT = 1.0  # seconds, the shortest session that the server grants


@pytest.fixture
def own_truth(own_server: ZookeeperServer) -> Iterator[Truth]:
    with Truth(own_server.hosts) as truth:
        yield truth


@pytest.fixture
def client(own_server: ZookeeperServer) -> Iterator[Client]:
    client = Client(own_server.hosts, namespace=f"{own_server.namespace}/servers", session_timeout=TIMEOUT)
    yield client
    client.close(3.0)


@pytest.fixture
def own_payments(own_truth: Truth, own_server: ZookeeperServer) -> Iterator[Written]:
    payments = Written(own_truth, f"{own_server.namespace}/servers")
    yield payments
    own_truth.session.wait_connected(LIMIT)
    payments.remove(*own_truth.children(payments.path))
    own_truth.delete(payments.path)


def test_a_server_that_crashes_and_comes_back(
    own_server: ZookeeperServer, own_truth: Truth, own_payments: Written, client: Client
) -> None:
    """Curator: server crash and restart with several registrations."""
    own_payments.add("a", "b", "c", weight=1.0)
    view = client.discover("payments").wait_ready(LIMIT, at_least=3)
    observer = Observer(view)
    own_server.kill()
    wait_view(view, lambda snapshot: snapshot.stale)
    assert {view.pick().id for _ in range(50)} == {"a", "b", "c"}, "what is known serves on"
    own_server.restart()
    own_truth.session.wait_connected(LIMIT)
    own_payments.change("a", weight=2.0)
    own_payments.remove("b")
    own_payments.add("b", "d", weight=2.0)
    wait_view(view, lambda snapshot: weights(snapshot) == {"a": 2.0, "b": 2.0, "c": 1.0, "d": 2.0})
    assert not view.snapshot.stale
    assert observer.backwards == []


def test_a_server_that_stands_still_for_longer_than_the_session(
    own_server: ZookeeperServer, own_truth: Truth, own_payments: Written, client: Client
) -> None:
    """It accepts connections all the while, and answers none; afterwards the session may be gone, the view is right."""
    own_payments.add("a", "b", weight=1.0)
    view = client.discover("payments").wait_ready(LIMIT, at_least=2)
    start = time.monotonic()
    own_server.pause()
    try:
        stale = wait_view(view, lambda snapshot: snapshot.stale)
        assert stale.stale_since is not None
        assert stale.stale_since - start < TIMEOUT + 1.0, "noticed within the session timeout"
        threading.Event().wait(1.5 * TIMEOUT)  # the length of the fault
        assert {view.pick().id for _ in range(50)} == {"a", "b"}
    finally:
        own_server.resume()
    own_truth.session.wait_connected(LIMIT)
    own_payments.change("a", weight=2.0)
    wait_view(view, lambda snapshot: not snapshot.stale and weights(snapshot) == {"a": 2.0, "b": 1.0})


def test_many_nodes_and_then_none(
    own_server: ZookeeperServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A wiped ensemble refuses kazoo for good, because kazoo has seen more. Curator: more than 64,000 nodes."""
    names = [f"{number:05}" for number in range(MANY)]
    with Truth(own_server.hosts) as truth:
        fill(truth, f"{own_server.namespace}/servers/services/payments", names)
    view = client.discover("payments").wait_ready(2 * LIMIT, at_least=MANY)
    assert ids(view.instances) == set(names)
    session = core_of(client).session
    before, epoch = session.highest_zxid, session.epoch
    own_server.restart(wipe=True)
    up = time.monotonic()
    wait_epoch(client, epoch + 1)
    # Refused for two timeouts; then the look at the server, and the next attempt to connect.
    assert time.monotonic() - up < 2 * TIMEOUT + 6.0
    wait_view(view, lambda snapshot: not snapshot.stale and not snapshot.instances)
    print(f"a cache of {MANY} instances began from zero {time.monotonic() - up:.1f} s after the wiped server served")
    assert session.highest_zxid < before
    assert [record.levelname for record in caplog.records if "data is lost" in record.message] == ["ERROR"]
    assert len(view.snapshot.suspects) == MANY, "nobody deregistered"
    assert view.pick().id in set(names)
    with Truth(own_server.hosts) as truth:
        Written(truth, f"{own_server.namespace}/servers").add("anew")
        wait_view(view, lambda snapshot: ids(snapshot) == {"anew"})


def fill(truth: Truth, path: str, names: list[str]) -> None:
    """Many small nodes, in transactions that are sent one behind the other."""
    truth.create(path)
    data = b'{"name":"payments","id":"%s","address":"127.0.0.1","port":1}'
    deadline, acl = time.monotonic() + 2 * LIMIT, truth.session.leaf_acl
    created = []
    for start in range(0, len(names), 2000):
        some = names[start : start + 2000]
        creates = [Create(f"{path}/{name}", data % name.encode(), acl) for name in some]
        created.append(truth.session.submit(Multi(creates), deadline=deadline))
    for future in created:
        future.result(2 * LIMIT)


def test_a_wiped_server_that_has_grown_again_when_we_come_back(own_server: ZookeeperServer) -> None:
    """Nothing shows that data was lost, for the server has seen more than we have; but its ids mean other nodes."""
    namespace = f"{own_server.namespace}/grown"

    def begin(weight: float) -> int:
        own_server.restart(wipe=True)
        with Truth(own_server.hosts) as truth:
            payments = Written(truth, namespace)
            payments.add("a", weight=weight)
            node = truth.get(f"{payments.path}/a")
        assert node is not None
        return node.stat.czxid

    first = begin(1.0)
    with FaultProxy(own_server.hosts) as proxy:
        client = Client(proxy.address, namespace=namespace, session_timeout=TIMEOUT)
        with client:
            view = client.discover("payments").wait_ready(LIMIT)
            proxy.refuse()
            wait_state(client, State.SUSPENDED)
            assert begin(2.0) == first, "or else nothing is shown here"
            with Truth(own_server.hosts) as truth:
                for number in range(20):
                    truth.create(f"{namespace}/grown-{number}")
            proxy.heal()
            wait_view(view, lambda snapshot: not snapshot.stale)
            assert weights(view.snapshot) == {"a": 2.0}
