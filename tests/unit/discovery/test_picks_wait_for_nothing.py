"""A pick waits for no lock, whoever holds which: all locks that a view can reach are held while it picks."""

from __future__ import annotations

import gc
import threading
import types
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.support import view_without_client
from zkdiscovery.balancing import Ejection, Endpoint, Outcome, Pool, resolve_balancer
from zkdiscovery.balancing.interface import Balancer, Picker
from zkdiscovery.discovery import Service
from zkdiscovery.discovery.feed import difference
from zkdiscovery.model import Instance, Snapshot

STRATEGIES = (
    "round_robin", "random", "weighted", "weighted_round_robin", "least_in_flight", "p2c_ewma", "sticky", "prefer_zone",
    "tiers", "maglev", "ring_hash", "rendezvous",
)  # fmt: skip
LOCKS = (type(threading.Lock()), type(threading.RLock()))
NEVER = 10.0  # seconds; reached by a defect only


def locks_of(root: object) -> list[Any]:
    """All locks that can be reached from an object, without going through modules and classes."""
    found, seen, waiting = [], {id(root)}, [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, LOCKS):
            found.append(item)
            continue
        if isinstance(item, types.FunctionType):  # not its globals, in which everything is
            referents: list[Any] = [item.__closure__, item.__defaults__, item.__kwdefaults__]
        else:
            referents = gc.get_referents(item)
        for referent in referents:
            if id(referent) not in seen and not isinstance(referent, (type, types.ModuleType)):
                seen.add(id(referent))
                waiting.append(referent)
    return found


@contextmanager
def held(locks: list[Any]) -> Iterator[None]:
    """Another thread holds them all."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            assert lock.acquire(timeout=NEVER)
        entered.set()
        leave.wait(3 * NEVER)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert entered.wait(NEVER)
        yield
    finally:
        leave.set()
        thread.join()


def make_view(balancer: str | Balancer) -> Service:
    """A view of ten instances, one of them ejected and due to be tried, one of them young."""
    view = view_without_client(
        "payments",
        partial(Pool, resolve_balancer(balancer), ejection=Ejection(base=0.001, longest=0.001), slow_start=3600.0),
    )
    instances = tuple(
        Instance("payments", "10.0.0.1", 8000 + number, weight=1.0 + number % 3, registered_at=1.7e9)
        for number in range(10)
    )
    view.follow(difference(view.snapshot, Snapshot("payments", version=1, instances=instances, loaded=True)))
    failing = view._pool.endpoints[3]
    for _ in range(20):
        failing.finished(failing.started(), Outcome.FAILURE)
    return view


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pick_waits_for_no_lock(strategy: str) -> None:
    view = make_view(strategy)
    locks = locks_of(view)
    assert len(locks) >= 3, "the view's, the pool's, the ejector's"
    with held(locks), ThreadPoolExecutor(1) as pool:
        picks = pool.submit(lambda: [view.pick(f"key-{number}", exclude=[""] * (number % 2)) for number in range(500)])
        assert len(picks.result(NEVER)) == 500
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(view.pick, "key").result(NEVER)


class Locking:
    """A strategy that takes a lock: what the test above must find."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        self._members = list(endpoints)
        return self

    def pick(self, key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        with self._lock:
            return self._members[0]


def test_a_pick_that_waits_for_a_lock_would_be_found() -> None:
    view = make_view(Locking())
    with ThreadPoolExecutor(1) as pool:
        with held(locks_of(view)):
            pick = pool.submit(view.pick)
            with pytest.raises(TimeoutError):
                pick.result(0.2)
        assert pick.result(NEVER)
