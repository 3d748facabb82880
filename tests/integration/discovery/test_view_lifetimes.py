"""How long views live: as long as somebody refers to them, or they have subscriptions."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Recorder, core_of, wait_until
from zkdiscovery import Change, Client, Registration
from zkdiscovery.discovery import Service

MANY = 1500  # views
DISCOVERERS = 6  # threads
ROUNDS = 150  # of each


@pytest.fixture
def owner(make_client: MakeClient) -> Client:
    return make_client().wait_connected(LIMIT)


@pytest.fixture
def payments(owner: Client) -> Registration:
    return owner.register("payments", 8080, id="a", host="10.0.0.1").wait_registered(LIMIT)


def views() -> int:
    """How many there are in this process."""
    return sum(type(each) is Service for each in gc.get_objects())


def watched(client: Client) -> set[str]:
    """The paths that a client watches."""
    return set(core_of(client).session.watches._by_path)


def wait_collected(ref: weakref.ref[Service]) -> None:
    """Threads of the SDK hold what they work with for a moment."""

    def collected() -> bool:
        gc.collect()
        return ref() is None

    wait_until(collected)


@pytest.mark.usefixtures("payments")
def test_views_that_nobody_keeps_leave_nothing(make_client: MakeClient) -> None:
    """As in a program that discovers in each request."""
    client = make_client()
    client.discover("payments").wait_ready(LIMIT)
    before = views()
    for _ in range(100):  # what is there but once
        client.discover("payments").wait_ready(LIMIT).pick()
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in range(MANY):
        assert client.discover("payments").wait_ready(LIMIT).pick().id == "a"
    gc.collect()
    assert sys.getallocatedblocks() - blocks < MANY, "a block for each view would be as many"
    assert views() <= before + 1
    assert len(watched(client)) == 1


def test_views_of_many_services_are_watched_no_longer_than_they_are_used(make_client: MakeClient) -> None:
    client = make_client().wait_connected(LIMIT)
    kept = client.discover("kept").snapshot
    assert not kept.loaded
    view = client.discover("payments")
    for number in range(MANY):
        client.discover(f"service-{number}")
    gc.collect()
    last = client.discover("last")  # drops what is left of the others
    wait_until(lambda: len(watched(client)) <= 2)
    assert view.name == "payments"
    assert last.wait_ready(LIMIT, at_least=0).snapshot.loaded
    assert len(watched(client)) == 2


@pytest.mark.usefixtures("payments")
def test_a_view_of_a_known_service_is_loaded_when_it_is_made(make_client: MakeClient) -> None:
    client = make_client()
    keep = client.discover("payments").wait_ready(LIMIT)
    balancers = ("p2c_ewma", "round_robin", "least_in_flight", "maglev", "sticky")
    for number in range(50):
        view = client.discover("payments", balancer=balancers[number % len(balancers)])
        assert view.snapshot.loaded
        assert not view.snapshot.stale
        assert view.instances == keep.instances
        assert view.pick(key="k").id == "a"


def test_a_subscription_keeps_its_view_until_it_is_closed(
    make_client: MakeClient, owner: Client, payments: Registration
) -> None:
    """And then the view is collected, and its service is watched no more."""
    client = make_client()
    seen: Recorder[Change] = Recorder()
    view = client.discover("payments")
    ref = weakref.ref(view)
    subscription = view.on_change(seen)
    del view
    seen.wait(lambda changes: len(changes) == 1)
    for number in range(1, 4):
        gc.collect()
        assert ref() is not None
        payments.update(weight=1.0 + number)
        seen.wait(lambda changes: any(i.weight == 1.0 + number for change in changes for i in change.after))  # noqa: B023
    subscription.close()
    wait_collected(ref)
    count = len(seen.items)
    payments.update(weight=9.0)  # tells the client that nobody follows
    wait_until(lambda: not watched(client))
    assert len(seen.items) == count


@pytest.mark.usefixtures("payments")
def test_a_second_subscription_keeps_the_view_as_well(make_client: MakeClient, payments: Registration) -> None:
    client = make_client()
    seen: Recorder[Change] = Recorder()
    view = client.discover("payments").wait_ready(LIMIT)
    ref = weakref.ref(view)
    first, second = view.on_change(lambda _: None), view.on_change(seen)
    del view
    first.close()
    gc.collect()
    payments.update(weight=5.0)
    seen.wait(lambda changes: any(instance.weight == 5.0 for change in changes for instance in change.after))
    second.close()
    wait_collected(ref)


@pytest.mark.usefixtures("payments")
def test_a_callback_that_refers_to_its_own_view_and_subscription(make_client: MakeClient) -> None:
    """It may close its subscription from within, and is collected with the cycle."""
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT)
    ref = weakref.ref(view)
    called = threading.Event()
    subscriptions = []

    def once(_: Change, view: Service = view) -> None:
        view.pick()
        subscriptions.pop().close()
        called.set()

    with view._changed:  # so that the callback waits for what is appended
        subscriptions.append(view.on_change(once))
    del view, once
    assert called.wait(LIMIT)
    wait_collected(ref)


@pytest.mark.usefixtures("payments")
def test_a_loop_over_changes_keeps_its_view(make_client: MakeClient, payments: Registration) -> None:
    client = make_client()
    changes = client.discover("payments").changes(LIMIT)
    assert list(next(changes).delta) == ["a"]
    for number in range(1, 4):
        gc.collect()
        payments.update(weight=1.0 + number)
        assert next(changes).delta["a"][1].weight == 1.0 + number
    del changes
    gc.collect()
    payments.update(weight=9.0)
    wait_until(lambda: not watched(client))


@contextmanager
def running(*targets: object) -> Iterator[threading.Event]:
    """Run functions on threads until the block ends; they get the event that ends them."""
    end = threading.Event()
    threads = [threading.Thread(target=target, args=(end,)) for target in targets]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    try:
        yield end
    finally:
        end.set()
        for thread in threads:
            thread.join(LIMIT)
        assert not any(thread.is_alive() for thread in threads), "deadlocked"


def discover_and_drop(client: Client, number: int) -> None:
    """A view as requests use it, one in three of a service that nobody else follows."""
    known = number % 3 != 0
    view = client.discover("payments" if known else f"other-{number}", balancer="round_robin")
    if known:
        assert view.pick().service == "payments"
        loop = view.changes(0.0)
        next(loop)
        cycle: list[object] = [loop]
        cycle.append(cycle)  # for the garbage collector, which ends the loop on any thread
    if number % 5 == 0:
        subscription = view.on_change(lambda _: None)
        client.discover("payments").on_change(lambda _: None).close()
        subscription.close()
    if number % 11 == 0:
        view.close()


@pytest.fixture
def eager_collection() -> Iterator[None]:
    """Garbage is collected often, on all threads.

    What the tests before have left is not looked at. Each collection would take longer than all else, because it stops
    all threads.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50, 2, 2)
    yield
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("eager_collection")
def test_many_threads_discover_and_drop_while_instances_change(
    make_client: MakeClient, owner: Client, payments: Registration, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    stays = client.discover("payments").wait_ready(LIMIT)
    failures: list[BaseException] = []
    done = threading.Semaphore(0)

    def discoverer(end: threading.Event) -> None:
        try:
            for number in range(ROUNDS):
                discover_and_drop(client, number)
                if end.is_set():
                    break
        except BaseException as error:
            failures.append(error)
        finally:
            done.release()

    def changer(end: threading.Event) -> None:
        number = 0
        while not end.wait(0.002):
            number += 1
            payments.update(weight=1.0 + number % 50)
            if number % 10 == 0:
                with owner.register("payments", 8081, id="b", host="10.0.0.1"):
                    end.wait(0.01)

    def collector(end: threading.Event) -> None:
        while not end.wait(0.003):
            gc.collect()

    with caplog.at_level(logging.WARNING), running(changer, collector, *[discoverer] * DISCOVERERS):
        finished = [done.acquire(timeout=2 * LIMIT) for _ in range(DISCOVERERS)]
    assert all(finished), "deadlocked"
    assert failures == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    weight = payments.instance.weight
    wait_until(lambda: [instance.weight for instance in stays.instances if instance.id == "a"] == [weight])
    wait_until(lambda: client.discover("last") and len(watched(client)) <= 2)
