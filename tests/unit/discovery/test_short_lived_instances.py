"""A view bounds what it remembers by what is there: 100,000 instances that came and went cost it nothing."""

from __future__ import annotations

import copy
import gc
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from tests.support import view_without_client
from zkdiscovery.balancing import Balancer, Ejection, Endpoint, Outcome, P2cEwma, Picker, Pool, RoundRobin
from zkdiscovery.discovery.endpoints import REMEMBERED
from zkdiscovery.discovery.guard import MassLossGuard
from zkdiscovery.model import Change, Instance, Snapshot
from zkdiscovery.settings import Guard

MANY = 100_000


class Driver:
    """A view without a client: what its cache would tell it."""

    def __init__(self, balancer: Balancer) -> None:
        make_pool = partial(Pool, balancer, ejection=Ejection())
        self.view = view_without_client("payments", make_pool)
        self.there: dict[str, Instance] = {}

    def tell(self, *instances: Instance, gone: Sequence[str] = ()) -> None:
        """One change."""
        before = self.view.snapshot
        delta: dict[str, tuple[Instance | None, Instance | None]] = {
            name: (self.there.pop(name), None) for name in gone
        }
        for instance in instances:
            delta[instance.id] = (self.there.get(instance.id), instance)
            self.there[instance.id] = instance
        after = Snapshot("payments", version=before.version + 1, instances=tuple(self.there.values()), loaded=True)
        self.view.follow(Change(before, after, delta))

    def short_lived(self, number: int) -> None:
        """One comes and goes."""
        self.tell(make(f"short-{number}"))
        self.tell(gone=[f"short-{number}"])


def make(id: str) -> Instance:
    return Instance("payments", "10.0.0.1", 8080, id=id, registered_at=1.7e9)


def copy_of(instance: Instance, id: str) -> Instance:
    """The same with another id; checks cost more than all the rest of this."""
    other = copy.copy(instance)
    object.__setattr__(other, "id", id)
    return other


def steps(work: Callable[[], object]) -> int:
    """Calls and lines of Python that the work takes: a measure that knows no busy machine."""
    count = 0

    def trace(*_: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    former = sys.gettrace()  # that of the measurement of coverage
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(former)
    return count


@pytest.fixture
def drivers() -> tuple[Driver, Driver]:
    """A fresh view, and one that has seen a hundred thousand come and go in a few changes."""
    fresh, old = Driver(P2cEwma()), Driver(P2cEwma())
    for driver in (fresh, old):
        driver.tell(*(make(f"i{number}") for number in range(10)))
    return fresh, old


def test_work_and_memory_are_those_of_a_fresh_view(drivers: tuple[Driver, Driver]) -> None:
    fresh, old = drivers
    fresh.short_lived(0)
    instance = make("early")
    for start in range(0, MANY, 1000):
        names = [f"early-{start + number}" for number in range(1000)]
        old.tell(*(copy_of(instance, name) for name in names))
        old.tell(gone=names)
    del instance
    gc.collect()
    kinds = {Endpoint, Instance}
    remembered = [each for each in gc.get_objects() if type(each) in kinds and "early" in repr(each)]
    assert len(remembered) <= 2 * (REMEMBERED + 10)
    assert steps(lambda: old.short_lived(1)) <= 1.5 * steps(lambda: fresh.short_lived(1)) + 50


def test_as_many_are_remembered_as_are_there(drivers: tuple[Driver, Driver]) -> None:
    """Whoever left lately and returns is known: that it failed, for one. Who left long before is met anew."""
    driver, _ = drivers
    kept = REMEMBERED + len(driver.there)
    names = [f"left-{number}" for number in range(kept + 1)]
    driver.tell(*map(make, names))
    known = {}
    for endpoint in driver.view._pool.endpoints:
        endpoint.finished(endpoint.started(), Outcome.FAILURE)
        known[endpoint.instance.id] = endpoint
    for name in names:
        driver.tell(gone=[name])
    driver.tell(*map(make, names))
    again = {endpoint.instance.id: endpoint.failures for endpoint in driver.view._pool.endpoints}
    assert [name for name in names if again[name] == 0] == names[:1], "the oldest goes first"


def test_a_balancer_that_fails_piles_nothing_up() -> None:
    class Failing:
        def build(self, endpoints: Sequence[Endpoint]) -> Picker:
            if any(endpoint.instance.id == "bad" for endpoint in endpoints):
                raise RuntimeError("no")
            return RoundRobin().build(endpoints)

    driver = Driver(Failing())
    driver.tell(make("a"), make("bad"))
    for number in range(500):
        driver.short_lived(number)
    assert len(driver.view._endpoints._fresh) <= 3
    driver.tell(make("b"), gone=["bad"])
    assert {instance.id for instance in driver.view.available} == {"a", "b"}


def test_the_guard_forgets_what_is_too_long_ago_without_looking_at_all_of_it() -> None:
    guard = MassLossGuard(Guard(), 10.0)
    for number in range(20_000):
        guard.lost([make(f"i{number}")], MANY, number / 10_000)
    later = 20_000 / 10_000
    assert steps(lambda: guard.lost([make("one-more")], MANY, later)) < 500
    assert guard.lost([make("last")], 2, later + 100.0) == 0, "the others are too long ago"
