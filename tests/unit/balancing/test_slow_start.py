"""Slow start: an instance that has just registered gets a growing part of its share."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from traffic import endpoints

from tests.unit.balancing.service import EPOCH, STRATEGIES, Service
from zkdiscovery.balancing import Balancer, Maglev, Pool, Random, RoundRobin, Weighted


def young_service(balancer: Balancer, young: int, of: int, window: float = 100.0) -> Service:
    """The first `young` of all are registered now, the others long ago."""
    service = Service(of, balancer, None, slow_start=window)
    for index, endpoint in enumerate(service.endpoints):
        age = 0.0 if index < young else 1e6
        endpoint.instance = dataclasses.replace(endpoint.instance, registered_at=EPOCH + service.now - age)
    service.pool.update(service.endpoints)
    return service


@pytest.mark.parametrize("balancer", [RoundRobin(), Random(), Weighted()], ids=repr)
def test_a_young_instance_gets_a_growing_part_of_its_share(balancer: Balancer) -> None:
    service = young_service(balancer, 1, of=5)
    for passed, part in [(0.0, 0.1), (30.0, 0.3), (60.0, 0.6), (99.9, 1.0), (200.0, 1.0)]:
        service.now = 1000.0 + passed
        share = service.picked(10_000)[0] / 10_000
        assert 0.8 * part / 5 < share < 1.2 * part / (4 + part)
    assert service.pool.pick.__qualname__ == type(balancer)().build(service.endpoints).pick.__qualname__


@pytest.mark.parametrize("balancer", STRATEGIES, ids=repr)
def test_slow_start_is_honoured_by_every_strategy(balancer: Balancer) -> None:
    service = young_service(balancer, 1, of=5)
    assert service.picked(4000)[0] < 4000 * 0.06


def test_keys_come_to_a_young_instance_one_by_one_and_stay() -> None:
    service = young_service(Maglev(), 1, of=5)
    keys = [f"key {number}" for number in range(1000)]
    moved: set[str] = set()
    for passed, part in [(0.0, 0.1), (50.0, 0.5), (90.0, 0.9), (100.0, 1.0)]:
        service.now = 1000.0 + passed
        there = {key for key in keys if service.pool.pick(key) is service.endpoints[0]}
        assert moved <= there
        assert len(there) == pytest.approx(200 * part, rel=0.35)
        moved = there


def test_where_all_are_young_they_share_evenly() -> None:
    service = young_service(RoundRobin(), 5, of=5)
    assert set(service.picked(1000).values()) == {200}


def test_many_young_ones_get_no_more_than_their_part() -> None:
    service = young_service(Random(), 8, of=10)
    counts = service.picked(20_000)
    young = sum(counts[index] for index in range(8)) / 20_000
    exact = 0.8 / (0.8 + 2)
    assert exact * 0.6 < young <= exact * 1.02


def test_a_young_instance_is_picked_before_one_of_weight_0() -> None:
    service = young_service(RoundRobin(), 1, of=2)
    service.endpoints[1].instance = dataclasses.replace(service.endpoints[1].instance, weight=0.0)
    service.pool.update(service.endpoints)
    assert set(service.picked()) == {0}


def test_an_instance_from_the_future_is_as_young_as_can_be_and_grows_old_as_others_do() -> None:
    service = Service(2, Random(), None, slow_start=100.0)
    future = EPOCH + service.now + 1e6
    service.endpoints[0].instance = dataclasses.replace(service.endpoints[0].instance, registered_at=future)
    service.pool.update(service.endpoints)
    assert service.picked(5000)[0] / 5000 == pytest.approx(0.1 / 2, rel=0.2)
    service.now += 100.0
    assert service.picked(5000)[0] / 5000 == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_clock_that_is_set_makes_nobody_young_or_old(jump: float) -> None:
    service = Service(2, Random(), None, slow_start=100.0)
    service.endpoints = endpoints(2, clock=lambda: service.now)
    wall = EPOCH
    pool = Pool(Random(), slow_start=100.0, clock=lambda: service.now, wall=lambda: wall)
    ages = [0.0, 1e6]
    for endpoint, age in zip(service.endpoints, ages, strict=True):
        endpoint.instance = dataclasses.replace(endpoint.instance, registered_at=EPOCH - age)
    pool.update(service.endpoints)
    wall += jump
    for _ in range(2):
        assert [pool.explain(endpoint)[0] for endpoint in service.endpoints] == [pytest.approx(0.1), 1.0]
        counts = Counter(int(endpoint.instance.id) for _ in range(5000) if (endpoint := pool.pick()))
        assert counts[0] / 5000 == pytest.approx(0.1 / 2, rel=0.2)
        pool.update(service.endpoints)
