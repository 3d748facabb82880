"""Many watched sets of one client: loaded together, each as if it were alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import Written, ids
from tests.integration.znodes.helpers import OPEN, SetAcl
from tests.support import LIMIT, Recorder, Truth, core_of, counting, feed_of, join_feed, wait_view
from zkdiscovery import AccessDenied, Change, Client, Instance, Service, State
from zkdiscovery.balancing import Endpoint, Picker, RoundRobin
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.session import StateChange, bulk
from zkdiscovery.session.requests import AccessEntry
from zkdiscovery.testing import FaultProxy
from zkdiscovery.znodes import loader

SERVICES = 60
UNLISTED = AccessEntry(30, "world", "anyone")


@pytest.fixture
def services(truth: Truth, namespace: str) -> list[Written]:
    """Two instances in each."""
    services = [Written(truth, namespace, f"service-{number:02}") for number in range(SERVICES)]
    for service in services:
        service.add("a", "b")
    return services


def discover(client: Client, services: list[Written]) -> list[Service]:
    views = [client.discover(service.service) for service in services]
    for view in views:
        view.wait_ready(LIMIT, at_least=2)
    return views


@contextmanager
def reconnecting(client: Client, proxy: FaultProxy) -> Iterator[None]:
    """Another connection; its loads begin when the block ends, all of them due."""
    core = core_of(client)
    session, worker = core.session, core.loader.worker
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        leave.wait(LIMIT)

    worker.schedule(hold, hold)
    assert entered.wait(LIMIT)
    changes: Recorder[StateChange] = Recorder()
    session.listen(changes)  # called after all the others
    try:
        proxy.drop()
        changes.wait(lambda seen: bool(seen) and seen[-1].state is State.CONNECTED)
        yield
    finally:
        session.unlisten(changes)
        leave.set()


def fresh(view: Service, version: int, expected: set[str]) -> None:
    wait_view(view, lambda snapshot: snapshot.version > version and not snapshot.stale and ids(snapshot) == expected)


def test_a_blip_costs_a_few_round_trips_for_all_services(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, services: list[Written]
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    views = discover(client, services)
    versions = [view.snapshot.version for view in views]
    with counting(client) as requests:
        with reconnecting(client, zkdiscovery_proxy):
            services[7].remove("a")
            services[8].add("c")
        for number, (view, version) in enumerate(zip(views, versions, strict=True)):
            fresh(view, version, {7: {"b"}, 8: {"a", "b", "c"}}.get(number, {"a", "b"}))
    assert requests == {"SetWatches": 1, "GetChildren": SERVICES, "MultiRead": 1}
    services[9].remove("a")
    wait_view(views[9], lambda snapshot: ids(snapshot) == {"b"})


def test_one_group_after_the_other(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, services: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "TOGETHER", 7)
    client = make_client(zkdiscovery_proxy.address)
    views = discover(client, services)
    versions = [view.snapshot.version for view in views]
    with counting(client) as requests:
        with reconnecting(client, zkdiscovery_proxy):
            pass
        for view, version in zip(views, versions, strict=True):
            fresh(view, version, {"a", "b"})
    assert requests == {"SetWatches": 9, "GetChildren": SERVICES, "MultiRead": 9}


def test_one_that_may_not_be_listed_harms_no_other(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, services: list[Written], truth: Truth
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    views = discover(client, services)
    versions = [view.snapshot.version for view in views]
    with reconnecting(client, zkdiscovery_proxy):
        truth.call(SetAcl(services[30].path, UNLISTED))
        services[30].remove("a")
    for number, (view, version) in enumerate(zip(views, versions, strict=True)):
        if number != 30:
            fresh(view, version, {"a", "b"})
    assert views[30].snapshot.stale
    assert ids(views[30].snapshot) == {"a", "b"}, "what was known last serves on"
    assert isinstance(feed_of(views[30]).error, AccessDenied)
    truth.call(SetAcl(services[30].path, OPEN))
    fresh(views[30], versions[30], {"b"})


class Order:
    """Follows caches and notes in which order they are fresh."""

    def __init__(self) -> None:
        self.heard: Recorder[str] = Recorder()

    def follow(self, change: Change) -> None:
        name = change.after.service
        if not change.after.stale and name not in self.heard.items:
            self.heard(name)


def test_small_sets_do_not_wait_for_a_large_one(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, services: list[Written], truth: Truth, namespace: str
) -> None:
    """On a slow link that takes long; and it may be that the large one can't be read to its end."""
    Written(truth, namespace, "large").add_many(200)
    client = make_client(zkdiscovery_proxy.address)
    large = client.discover("large").wait_ready(LIMIT, at_least=200)  # first, so due first on each connection
    order = Order()
    with reconnecting(client, zkdiscovery_proxy):
        views = [large, *(client.discover(service.service) for service in services)]
        for view in views:
            join_feed(view, order)
        order.heard.items.clear()  # what was known before
    order.heard.wait(lambda names: len(names) == SERVICES + 1)
    assert order.heard.items[-1] == "large"


def test_exits_in_what_users_brought_end_no_load_of_others(
    make_client: MakeClient, services: list[Written], caplog: pytest.LogCaptureFixture
) -> None:
    """On the cache's thread, `sys.exit()` in a `where`, a balancer or a codec is a defect of one service."""

    def where(_: Instance) -> bool:
        raise SystemExit("where")

    class Exiting:
        def build(self, endpoints: Sequence[Endpoint]) -> Picker:
            if endpoints:
                raise SystemExit("build")
            return RoundRobin().build(endpoints)

    class ExitingCodec(CuratorCodec):
        def decode(self, service: str, name: str, data: bytes) -> Instance:
            if service == services[2].service:
                raise SystemExit("decode")
            return super().decode(service, name, data)

    client = make_client()
    core_of(client).codec = ExitingCodec()
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        leave.wait(LIMIT)

    client.discover("something-else").wait_ready(LIMIT, at_least=0)
    core_of(client).loader.worker.schedule(hold, hold)
    assert entered.wait(LIMIT)
    views = [
        client.discover(services[0].service, where=where),
        client.discover(services[1].service, balancer=Exiting()),
        *(client.discover(service.service) for service in services[2:]),
    ]
    leave.set()
    for view in views[3:]:
        view.wait_ready(LIMIT, at_least=2)
    wait_view(views[0], lambda snapshot: snapshot.loaded)
    assert views[0].available == ()
    wait_view(views[2], lambda snapshot: len(snapshot.rejected) == 2)
    assert "could not follow" in caplog.text
    services[3].add("c")
    wait_view(views[3], lambda snapshot: ids(snapshot) == {"a", "b", "c"})


def test_a_connection_that_breaks_halfway(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, services: list[Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was complete is in force, the rest follows on the next connection."""
    client = make_client(zkdiscovery_proxy.address)
    views = discover(client, services)
    versions = [view.snapshot.version for view in views]
    with reconnecting(client, zkdiscovery_proxy):
        monkeypatch.setattr(bulk, "BATCH", 50)  # of 120 nodes
        lost = zkdiscovery_proxy.lose_reply("multi_read")
        services[-1].remove("a")
    assert lost.wait(LIMIT)
    for view, version in zip(views, versions, strict=True):
        fresh(view, version, {"b"} if view is views[-1] else {"a", "b"})
