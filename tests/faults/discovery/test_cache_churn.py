"""Thousands of caches, opened and closed: nothing of them is left, at the server or here."""

from __future__ import annotations

import gc
import threading

import psutil
import pytest

from tests.conftest import MakeClient
from tests.faults.discovery.helpers import quiesce, watched_paths
from tests.integration.discovery.helpers import Written, ids
from tests.support import IN_FULL, LIMIT, core_of, wait_view
from zkdiscovery import Client, Service
from zkdiscovery.discovery import Discovery
from zkdiscovery.discovery.cache import ServiceCache
from zkdiscovery.testing import ZookeeperServer
from zkdiscovery.znodes import WatchedChildren

MANY = 10_000 if IN_FULL else 2_000
LOADED_EVERY = 20  # one of so many is waited for; the others are closed at whatever point of their load they are
AT_ONCE = 50  # caches open at one time
GROWTH = (
    8 * 1024 * 1024
)  # bytes that the process may grow by: allocators keep what they have; 10,000 leaks of 1 KiB are 10 MB


def churn(client: Client, first: int, count: int) -> None:
    """Open and close caches: half of them of one name, half of names never used again."""
    opened: list[Service] = []
    for number in range(first, first + count):
        name = "payments" if number % 2 else f"service-{number}"
        view = client.discover(name)
        view.on_change(lambda _: None)
        opened.append(view)
        if number % LOADED_EVERY == 0 or number % LOADED_EVERY == 1:
            wait_view(view, lambda snapshot: snapshot.loaded)
        if len(opened) == AT_ONCE:
            for each in opened:
                each.close()
            opened.clear()
    for view in opened:
        view.close()
    quiesce(client)


def left_of(*kinds: type) -> list[object]:
    """Objects of these classes that are still there."""
    gc.collect()
    return [each for each in gc.get_objects() if issubclass(type(each), kinds)]


@pytest.mark.timeout(300)  # fifteen seconds of work, which beside others take a multiple; nothing is said of time
def test_thousands_of_caches(
    make_client: MakeClient, payments: Written, namespace: str, zkdiscovery_server: ZookeeperServer
) -> None:
    """Curator: 100,000 caches opened and closed without a leak; CURATOR: watch listeners do not leak."""
    payments.add("a")
    client = make_client(session_timeout=10.0).wait_connected(LIMIT)
    session = core_of(client).session
    process = psutil.Process()
    others = len(left_of(ServiceCache, WatchedChildren, Service))
    churn(client, 0, MANY // 10)  # what is made once is there now
    threads, listeners = threading.active_count(), len(session._listeners)
    left_of()
    before = process.memory_info().rss
    churn(client, MANY // 10, MANY - MANY // 10)
    assert len(left_of(ServiceCache, WatchedChildren, Service)) == others
    grown = process.memory_info().rss - before
    assert grown < GROWTH
    assert threading.active_count() == threads
    assert (len(session._listeners), session.watches._by_path) == (listeners, {})
    worker = core_of(client).loader.worker
    assert (worker._due, core_of(client).feature(Discovery)._feeds) == ({}, {})
    assert [path for path in watched_paths(zkdiscovery_server) if path.startswith(namespace)] == []
    assert ids(client.discover("payments").wait_ready(LIMIT).instances) == {"a"}, "and it still works"
