"""Ejection and slow start through a pool, on clocks that the test moves."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.balancing.service import EPOCH, RULES, STRATEGIES, Service
from zkdiscovery.balancing import (
    Balancer,
    Ejection,
    Endpoint,
    LeastInFlight,
    Maglev,
    Outcome,
    P2cEwma,
    PreferZone,
    Rendezvous,
    RoundRobin,
    Tiers,
)
from zkdiscovery.balancing.ejection import JITTER
from zkdiscovery.errors import InvalidSettings


@pytest.mark.parametrize("balancer", STRATEGIES, ids=repr)
def test_failures_in_a_row_eject_under_every_strategy(balancer: Balancer) -> None:
    service = Service(5, balancer)
    service.report(2, Outcome.FAILURE, 4)
    service.report(2, Outcome.SUCCESS)
    service.report(2, Outcome.FAILURE, 4)
    assert service.endpoints[2].ejection is None
    service.report(2, Outcome.OVERLOADED)
    assert set(service.picked()) == {0, 1, 3, 4}
    assert service.pool.pick(exclude={"0", "1", "3"}) is service.endpoints[4]
    assert service.pool.pick(exclude={"0", "1", "3", "4"}) is service.endpoints[2], "rather an ejected one than none"


def test_cancelled_calls_count_for_nothing() -> None:
    service = Service(3)
    for _ in range(4):
        service.report(1, Outcome.FAILURE)
        service.report(1, Outcome.CANCELLED, 3)
    assert service.endpoints[1].ejection is None


def test_the_others_share_the_turns_of_an_ejected_one_evenly() -> None:
    service = Service(5)
    service.eject(2)
    counts = service.picked(400)
    assert set(counts.values()) == {100}


def test_one_call_tries_an_ejected_one_and_a_success_brings_it_back() -> None:
    service = Service(5)
    service.eject(2)
    service.now += service.seconds_out(2) - 0.001
    assert 2 not in service.picked()
    service.now += 0.002
    assert service.picked()[2] == 1
    service.report(2, Outcome.SUCCESS)
    assert service.picked(100)[2] == 20


def test_the_probe_is_one_pick_and_is_offered_again_if_nothing_is_heard_of_it() -> None:
    service = Service(5)
    service.eject(2)
    lasts = service.endpoints[2].ejection.lasts
    for _ in range(3):
        service.now += lasts + 0.001
        assert service.picked()[2] == 1
    service.now += lasts + 0.001
    assert 2 not in service.picked(exclude={"2"})
    assert service.pool.pick() is service.endpoints[2]


def test_a_cancelled_probe_is_made_again_soon_but_not_at_once() -> None:
    service = Service(5)
    service.eject(2)
    for _ in range(5):  # so that its ejection lasts for long
        service.now += service.seconds_out(2)
        assert service.pool.pick(exclude={"0", "1", "3", "4"}) is service.endpoints[2]
        service.report(2, Outcome.FAILURE)
    service.now += service.seconds_out(2)
    assert service.picked()[2] == 1
    service.report(2, Outcome.CANCELLED)
    assert service.seconds_out(2) == RULES.base
    assert 2 not in service.picked(), "a cancelled call to one that hangs must not be followed by the next"
    service.now += RULES.base
    assert service.picked()[2] == 1
    service.report(2, Outcome.SUCCESS)
    assert service.picked(100)[2] == 20


def test_a_call_that_began_before_the_probe_and_is_cancelled_says_nothing_of_it() -> None:
    service = Service(5)
    stamp = service.endpoints[2].started()
    service.now += 0.001
    service.eject(2)
    out = service.seconds_out(2)
    service.endpoints[2].finished(stamp, Outcome.CANCELLED)
    assert service.seconds_out(2) == out
    assert 2 not in service.picked()


def test_a_failed_probe_ejects_for_twice_as_long_up_to_the_longest() -> None:
    service = Service(5)
    service.report(2, Outcome.FAILURE, RULES.consecutive)
    for level in range(9):
        least = min(RULES.longest, RULES.base * 2.0**level)
        assert least <= service.seconds_out(2) <= least * (1 + JITTER)
        service.now += service.seconds_out(2) + 0.001
        assert service.pool.pick() is service.endpoints[2]
        service.report(2, Outcome.FAILURE)
        assert 2 not in service.picked()


def test_reports_of_calls_from_before_the_ejection_change_nothing() -> None:
    service = Service(5)
    early = [service.endpoints[2].started() for _ in range(4)]
    service.eject(2)
    until = service.endpoints[2].ejection.until
    service.endpoints[2].finished(early.pop(), Outcome.FAILURE)
    service.endpoints[2].finished(early.pop(), Outcome.SUCCESS)
    assert 2 not in service.picked()
    assert service.endpoints[2].ejection.until == until
    service.now = until + 0.001
    assert service.pool.pick() is service.endpoints[2]
    service.endpoints[2].finished(early.pop(), Outcome.FAILURE)
    service.report(2, Outcome.SUCCESS)
    assert service.endpoints[2].ejection.until == 0.0


def test_a_success_overtaken_by_an_ejection_does_not_hide_the_successes_after_it() -> None:
    """Another thread's failure comes just after the success was reported, and ejects."""
    service = Service(3)
    one = service.endpoints[0]
    service.report(0, Outcome.FAILURE, RULES.consecutive - 1)
    success, failure = one.started(), one.started()

    class Overtaken(type(one.listener)):  # type: ignore[misc]
        def succeeded(self, endpoint: Endpoint, started: float) -> object:
            found = super().succeeded(endpoint, started)
            one.listener = self.inner
            one.failed_in_a_row += RULES.consecutive - 1
            one.finished(failure, Outcome.FAILURE)
            return found

    listener = one.listener
    overtaken = object.__new__(Overtaken)
    overtaken.__dict__ |= vars(listener) | {"inner": listener}
    one.listener = overtaken
    one.finished(success, Outcome.SUCCESS)
    assert one.ejection is not None
    service.now += service.seconds_out(0)
    assert service.pool.pick() is one, "the one call that tries it"
    service.report(0, Outcome.SUCCESS)
    assert set(service.picked()) == {0, 1, 2}


def test_ejections_grow_until_it_was_well_for_the_longest() -> None:
    service = Service(5)
    service.eject(2)
    service.now += service.seconds_out(2) + 0.001
    service.pool.pick()
    service.report(2, Outcome.SUCCESS)
    service.eject(2)
    assert service.endpoints[2].ejection.level == 2
    service.now += service.seconds_out(2) + 0.001
    service.pool.pick()
    service.report(2, Outcome.SUCCESS)
    service.now += RULES.longest + 1.0
    service.eject(2)
    assert service.endpoints[2].ejection.level == 1


@pytest.mark.parametrize(("number", "out"), [(1, 0), (2, 1), (3, 1), (4, 2), (10, 5)])
def test_at_most_a_share_is_ejected_and_never_the_last_one(number: int, out: int) -> None:
    service = Service(number)
    for index in range(number):
        service.report(index, Outcome.FAILURE, 20)
    assert len(service.picked()) == number - out


def test_those_of_weight_0_are_no_part_of_what_must_be_left() -> None:
    service = Service(4)
    for endpoint in service.endpoints[2:]:
        endpoint.instance = dataclasses.replace(endpoint.instance, weight=0.0)
    service.pool.update(service.endpoints)
    for index in range(4):
        service.report(index, Outcome.FAILURE, 20)
    assert set(service.picked()) == {1}


def test_one_of_weight_0_stays_ejected_when_the_others_leave() -> None:
    service = Service(4)
    service.eject(0)
    for endpoint in service.endpoints:
        if endpoint is not service.endpoints[1]:
            endpoint.instance = dataclasses.replace(endpoint.instance, weight=0.0)
    service.pool.update(service.endpoints)
    assert set(service.picked()) == {1}
    service.pool.update([e for e in service.endpoints if e is not service.endpoints[1]], changed=())
    assert set(service.picked()) == {2, 3}


def test_when_too_few_are_left_all_are_used() -> None:
    service = Service(8)
    for index in range(4):
        service.eject(index)
    service.pool.update(service.endpoints[:6])
    assert set(service.picked()) == {0, 1, 2, 3, 4, 5}, "2 of 6 are well"
    service.pool.update(service.endpoints)
    assert set(service.picked()) == {4, 5, 6, 7}
    service.report(0, Outcome.SUCCESS)
    assert set(service.picked()) == {0, 4, 5, 6, 7}, "answered well in the panic"


def test_ejection_outlives_changes_of_the_set_and_of_the_instance() -> None:
    service = Service(5)
    service.eject(2)
    service.endpoints[2].instance = dataclasses.replace(service.endpoints[2].instance, weight=3.0)
    service.pool.update(service.endpoints)
    assert 2 not in service.picked()
    service.pool.update(service.endpoints[:2] + service.endpoints[3:])
    service.report(2, Outcome.SUCCESS)  # a call that was under way
    service.pool.update(service.endpoints)
    assert 2 in service.picked()


def test_ejection_is_known_of_those_that_are_said_to_have_changed() -> None:
    service = Service(5)
    service.eject(2)
    ejected, others = service.endpoints[2], service.endpoints[:2] + service.endpoints[3:]
    service.pool.update(others, [])
    service.pool.update(service.endpoints, [ejected])
    assert 2 not in service.picked(), "back in the set, and still ejected"
    for weight in (0.0, 1.0):
        ejected.instance = dataclasses.replace(ejected.instance, weight=weight)
        service.pool.update(service.endpoints, [ejected])
    assert 2 not in service.picked(), "by weight part of the set again"
    service.pool.update(others, [])
    service.report(1, Outcome.FAILURE, RULES.consecutive)
    assert 1 not in service.picked(), "the others' listener stays"


def test_one_that_has_left_is_not_ejected() -> None:
    service = Service(5)
    service.pool.update(service.endpoints[1:])
    service.report(0, Outcome.FAILURE, 10)
    assert service.endpoints[0].ejection is None


def test_a_key_tries_an_ejected_one_only_if_it_belongs_there() -> None:
    service = Service(5, Maglev())
    owner = {key: int(service.pool.pick(key).instance.id) for key in map(str, range(100))}
    mine = [key for key, index in owner.items() if index == 2]
    service.report(2, Outcome.FAILURE, RULES.consecutive)
    assert not any(service.pool.pick(key) is service.endpoints[2] for key in owner)
    service.now += service.seconds_out(2) + 0.001
    for key, index in owner.items():
        if index != 2:
            assert service.pool.pick(key) is service.endpoints[index]
    assert service.pool.pick(mine[0]) is service.endpoints[2]
    assert service.pool.pick(mine[0]) is not service.endpoints[2]


# What always holds


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_happens_picks_end_respect_the_excluded_and_leave_nothing_in_flight(data: st.DataObject) -> None:
    number = data.draw(st.integers(1, 6))
    balancer = data.draw(
        st.sampled_from([RoundRobin(), P2cEwma(), Rendezvous(), LeastInFlight(), PreferZone("a", Tiers())])
    )
    service = Service(number, balancer, Ejection(consecutive=2), slow_start=30.0)
    for index, endpoint in enumerate(service.endpoints):
        endpoint.instance = dataclasses.replace(
            endpoint.instance,
            zone="ab"[index % 2],
            weight=data.draw(st.sampled_from([0.0, 1.0, 3.0])),
            registered_at=data.draw(st.sampled_from([None, EPOCH + 990.0, EPOCH + 1e6])),
        )
    present = list(service.endpoints)
    service.pool.update(present)
    under_way: list[tuple[Endpoint, float]] = []
    for _ in range(data.draw(st.integers(1, 40))):
        step = data.draw(st.sampled_from(["call", "call", "end", "end", "time", "set"]))
        if step == "call":
            exclude = data.draw(st.sets(st.sampled_from([str(index) for index in range(number)])))
            endpoint = service.pool.pick(data.draw(st.sampled_from([None, "k"])), exclude)
            left = [each for each in present if each.instance.id not in exclude]
            assert endpoint in left if left else endpoint is None
            if endpoint:
                under_way.append((endpoint, endpoint.started()))
        elif step == "end" and under_way:
            endpoint, stamp = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            endpoint.finished(stamp, data.draw(st.sampled_from(Outcome)))
        elif step == "time":
            service.now += data.draw(st.sampled_from([0.1, 10.0, 400.0]))
        elif step == "set":
            present = [each for each in service.endpoints if data.draw(st.booleans())]
            service.pool.update(present)
        assert number > 1 or service.endpoints[0].ejection is None
    for endpoint, stamp in under_way:
        endpoint.finished(stamp, Outcome.SUCCESS)
    assert {endpoint.in_flight for endpoint in service.endpoints} == {0}


def test_threads_that_fail_and_recover_while_the_set_changes() -> None:
    service = Service(6)
    members = service.endpoints
    at_once = threading.Barrier(5)

    def call(seed: int) -> int:
        at_once.wait(10)
        for turn in range(1500):
            endpoint = service.pool.pick(exclude={str(turn % 6)} if turn % 7 == 0 else ())
            assert endpoint is not None
            bad = endpoint.instance.id == "0" and turn % 500 < 400
            endpoint.finished(endpoint.started(), Outcome.FAILURE if bad else Outcome.SUCCESS)
            service.now += 0.01
            if seed == 0 and turn % 50 == 0:
                service.pool.update(members[: 4 + turn % 3])
        return seed

    with ThreadPoolExecutor(5) as threads:
        assert sorted(threads.map(call, range(5))) == [0, 1, 2, 3, 4]
    assert [endpoint.in_flight for endpoint in members] == [0] * 6
    service.pool.update(members)
    assert {1, 2, 3, 4, 5} <= set(service.picked())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ejection(consecutive=0),
        lambda: Ejection(base=0.0),
        lambda: Ejection(longest=math.nan),
        lambda: Ejection(max_share=1.1),
        lambda: Ejection(panic=-0.1),
        lambda: Ejection(min_calls=True),
        lambda: Ejection(base=20.0, longest=10.0),
    ],
)
def test_rules_out_of_range_are_refused(make: Callable[[], Ejection]) -> None:
    with pytest.raises(InvalidSettings, match="must be"):
        make()
