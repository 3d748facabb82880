"""What the benchmarks measure of one consumer, counted: requests, snapshots, memory; one ratio of times.

Fills and storms of other sizes are counted in integration/discovery/test_shared_cache.py, registrations in
integration/registration/test_registration_many.py.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc

from benchmarks.published import Published
from tests.conftest import MakeClient
from tests.support import LIMIT, Truth, counting, wait_view
from zkdiscovery.session import GetChildren, bulk_read

MANY = 1_000


def test_a_fill_is_a_watch_a_list_and_bulk_reads(make_client: MakeClient, payments: Published) -> None:
    payments.add(*range(MANY))
    client = make_client().wait_connected(LIMIT)
    with counting(client) as requests:
        view = client.discover("payments").wait_ready(LIMIT, at_least=MANY)
    # Of 4, 32 and 256 nodes while their size is unknown, then of 500.
    assert requests == {"SetWatches": 1, "GetChildren": 1, "MultiRead": 3 + 2}
    assert view.snapshot.version == 1, "published once, as a whole"


def test_arrivals_at_once_are_read_together(make_client: MakeClient, payments: Published) -> None:
    client = make_client()
    view = client.discover("payments")
    before = wait_view(view, lambda snapshot: snapshot.loaded).version
    with counting(client) as requests:
        payments.add_singly(*range(MANY))
        wait_view(view, lambda snapshot: len(snapshot) == MANY)
    assert set(requests) == {"MultiRead"}
    assert requests["MultiRead"] <= 20
    assert view.snapshot.version - before <= 20


def test_departures_at_once_are_read_of_events_alone(make_client: MakeClient, payments: Published) -> None:
    payments.add(*range(MANY))
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT, at_least=MANY)
    before = view.snapshot.version
    with counting(client) as requests:
        payments.remove_singly(*range(MANY))
        wait_view(view, lambda snapshot: len(snapshot) == 0)
    assert requests == {}
    assert view.snapshot.version - before <= 20
    assert len(view.snapshot.suspects) > 0, "vanished without deregistering"


def test_a_thousand_new_weights_at_once(make_client: MakeClient, payments: Published) -> None:
    payments.add(*range(MANY))
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT, at_least=MANY)
    for weight in (2.0, 3.0):
        before = view.snapshot.version
        with counting(client) as requests:
            payments.change(*range(MANY), weight=weight)
            wait_view(view, lambda snapshot, weight=weight: all(each.weight == weight for each in snapshot))
        assert set(requests) == {"MultiRead"}
        assert requests["MultiRead"] <= 20
        assert view.snapshot.version - before <= 20


def test_one_change_among_many_is_one_read_and_shares_the_rest(make_client: MakeClient, payments: Published) -> None:
    payments.add(*range(MANY))
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT, at_least=MANY)
    before = {instance.id: instance for instance in view.instances}
    with counting(client) as requests:
        payments.change(7, weight=9.0)
        snapshot = wait_view(view, lambda snapshot: any(each.weight == 9.0 for each in snapshot))
    assert requests == {"MultiRead": 1}
    other = [each.id for each in snapshot if before[each.id] is not each]
    assert other == [payments.instance(7).id], "what did not change is the same object"


def test_a_fill_costs_little_more_than_the_bulk_read(
    make_client: MakeClient, payments: Published, truth: Truth, namespace: str
) -> None:
    """The target is 3 times for 10,000; a machine under load may take twice as long for either."""
    size = 3_000
    payments.add(*range(size))
    floor, ours = [], []
    for _ in range(5):
        start = time.perf_counter()
        deadline = time.monotonic() + LIMIT
        paths = [f"{payments.path}/{name}" for name in truth.call(GetChildren(payments.path))]
        session = truth.session
        assert len(list(bulk_read(session, paths, generation=session.generation, deadline=deadline))) == size
        floor.append(time.perf_counter() - start)
        client = make_client().wait_connected(LIMIT)
        start = time.perf_counter()
        client.discover("payments").wait_ready(LIMIT, at_least=size)
        ours.append(time.perf_counter() - start)
        client.close()
    assert min(ours) <= 10 * min(floor), f"{min(ours) / min(floor):.1f} times"


def test_a_cached_instance_takes_little_memory(make_client: MakeClient, payments: Published) -> None:
    """The target is 1.5 KiB with five entries of metadata; it is more for a thousand, with what is there but once."""
    payments.add(*range(MANY))
    client = make_client().wait_connected(LIMIT)
    client.discover("nobody")  # all that is loaded on first use
    gc.collect()
    tracemalloc.start()
    try:
        view = client.discover("payments").wait_ready(LIMIT, at_least=MANY)
        view.pick()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 200 < held / MANY <= 2 * 1024


def test_a_pick_asks_for_nothing_and_leaves_nothing(make_client: MakeClient, payments: Published) -> None:
    payments.add(*range(MANY))
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT, at_least=MANY)

    def pick() -> None:
        for _ in range(10 * MANY):
            view.pick()

    pick()
    gc.collect()
    before = sys.getallocatedblocks()
    with counting(client) as requests:
        pick()
    assert requests == {}
    gc.collect()
    assert sys.getallocatedblocks() - before < MANY, "a block for each of ten picks would be as many"
