"""Traffic of a minute or two through the strategies, on a simulated clock. See test_simulation.py why to trust it."""

from __future__ import annotations

from random import Random as Dice
from typing import TYPE_CHECKING

import pytest
from traffic import Call, Traffic

from zkdiscovery.balancing import Balancer, Ejection, LeastInFlight, Outcome, P2cEwma, RoundRobin, Weighted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUCCESS, FAILURE, OVERLOADED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.OVERLOADED


def share(calls: Sequence[Call], server: int, begin: float, end: float) -> float:
    """The server's part of the calls that began in this span of seconds."""
    span = [call for call in calls if begin <= call.began < end]
    return sum(call.server == str(server) for call in span) / len(span)


def one_slow_server() -> Callable[[int, float], tuple[float, Outcome]]:
    """Server 3 takes 2 s between the 15th and the 45th second; otherwise all take 50 ms on average."""
    dice = Dice(7)
    return lambda server, now: (2.0 if server == 3 and 15 <= now < 45 else dice.expovariate(1 / 0.050), SUCCESS)


def test_a_slow_server_is_left_alone_and_used_again_when_it_is_well() -> None:
    calls = Traffic(P2cEwma(), 11, one_slow_server()).open_loop(rate=1000, seconds=120)
    assert share(calls, 3, 0, 15) == pytest.approx(1 / 11, rel=0.15)
    assert share(calls, 3, 16, 45) < 0.001
    assert share(calls, 3, 90, 120) == pytest.approx(1 / 11, rel=0.25)


@pytest.mark.parametrize("outcome", [FAILURE, OVERLOADED])
@pytest.mark.parametrize(
    ("answer_time", "rate", "at_most"),
    [
        (0.005, 200, 0.001),
        (0.050, 200, 0.001),
        (0.050, 1000, 0.001),
        (0.300, 200, 0.001),  # 7 calls in flight to each: neighbours cost more than the first penalty of 5 s
        (20.0, 20, 0.02),  # 44 in flight to each: minutes
    ],
)
def test_an_instance_that_fails_fast_attracts_no_calls(
    answer_time: float, rate: float, at_most: float, outcome: Outcome
) -> None:
    """The sinkhole: 1 of 10 fails in 1 ms (linkerd2 #11669, envoy #39737). With an even share 0.1 of the calls would
    fail, with a plain EWMA 0.2.
    """
    dice = Dice(7)
    traffic = Traffic(
        P2cEwma(),
        10,
        lambda server, now: (0.001, outcome) if server == 0 else (dice.expovariate(1 / answer_time), SUCCESS),
    )
    calls = traffic.open_loop(rate, seconds=120)
    failed = sum(call.outcome is outcome for call in calls)
    assert 1 <= failed <= at_most * len(calls)


@pytest.mark.parametrize("balancer", [P2cEwma(), RoundRobin(), LeastInFlight(), Weighted()], ids=repr)
def test_an_instance_that_fails_fast_is_ejected_under_every_strategy(balancer: Balancer) -> None:
    dice = Dice(7)
    traffic = Traffic(
        balancer,
        10,
        lambda server, now: (0.001, FAILURE) if server == 0 else (dice.expovariate(1 / 0.050), SUCCESS),
        ejection=Ejection(),
    )
    calls = traffic.open_loop(rate=200, seconds=120)
    failed = sum(call.outcome is FAILURE for call in calls)
    assert 1 <= failed <= 0.001 * len(calls)


@pytest.mark.parametrize("balancer", [RoundRobin(), LeastInFlight()], ids=repr)
def test_an_ejected_instance_is_used_again_when_it_is_well(balancer: Balancer) -> None:
    dice = Dice(7)
    traffic = Traffic(
        balancer,
        10,
        lambda server, now: (0.001, FAILURE) if server == 0 and now < 60 else (dice.expovariate(1 / 0.050), SUCCESS),
        ejection=Ejection(),
    )
    calls = traffic.open_loop(rate=100, seconds=240)
    assert share(calls, 0, 1, 60) < 0.001
    assert share(calls, 0, 190, 240) == pytest.approx(0.1, rel=0.25)


def test_round_robin_keeps_calling_an_instance_that_fails() -> None:
    """The measure for the tests above."""
    traffic = Traffic(RoundRobin(), 10, lambda server, now: (0.001, FAILURE) if server == 0 else (0.050, SUCCESS))
    calls = traffic.open_loop(rate=200, seconds=60)
    assert sum(call.outcome is FAILURE for call in calls) / len(calls) == pytest.approx(0.1, abs=0.001)


def test_an_instance_that_failed_for_long_is_used_again_when_it_is_well() -> None:
    dice = Dice(7)
    traffic = Traffic(
        P2cEwma(),
        10,
        lambda server, now: (0.001, FAILURE) if server == 0 and now < 600 else (dice.expovariate(1 / 0.050), SUCCESS),
    )
    calls = traffic.open_loop(rate=100, seconds=900)
    assert share(calls, 0, 0, 600) < 0.001
    assert share(calls, 0, 700, 900) == pytest.approx(0.1, rel=0.25)


def test_when_all_fail_all_are_called() -> None:
    traffic = Traffic(P2cEwma(), 10, lambda server, now: (0.001, FAILURE))
    calls = traffic.open_loop(rate=200, seconds=60)
    for server in range(10):
        assert share(calls, server, 0, 60) == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("first_answer", [0.050, 2.0])
def test_a_new_instance_gets_one_call_until_it_has_answered(first_answer: float) -> None:
    dice = Dice(7)
    traffic = Traffic(
        P2cEwma(),
        10,
        lambda server, now: (first_answer if server == 9 and now < 31 else dice.expovariate(1 / 0.050), SUCCESS),
    )
    traffic.use(range(9))
    traffic.at(30.0, lambda: traffic.use(range(10)))
    calls = traffic.open_loop(rate=500, seconds=150)
    begun = [call.began for call in calls if call.server == "9"]
    assert 30.0 <= begun[0] < 30.1
    assert sum(when < begun[0] + first_answer for when in begun) == 1
    assert share(calls, 9, 30, 31) <= 0.2
    assert share(calls, 9, 100, 150) == pytest.approx(0.1, rel=0.25)


WEIGHTS = {0: 1.0, 1: 1.0, 2: 2.0, 3: 4.0, 4: 0.1, 5: 4.0}


def test_weights_hold_when_the_service_is_busy() -> None:
    traffic = Traffic(P2cEwma(), 6, lambda server, now: (0.050, SUCCESS), WEIGHTS)
    calls = traffic.closed_loop(callers=60, calls=20_000)
    for server, weight in WEIGHTS.items():
        assert share(calls, server, 1, 10) == pytest.approx(weight / sum(WEIGHTS.values()), rel=0.1, abs=0.005)


def test_a_small_weight_never_gets_more_than_twice_its_share() -> None:
    traffic = Traffic(P2cEwma(), 6, lambda server, now: (0.050, SUCCESS), WEIGHTS)
    calls = traffic.closed_loop(callers=1, calls=20_000)
    for server, weight in WEIGHTS.items():
        part = weight / sum(WEIGHTS.values())
        assert 0.5 * part < share(calls, server, 0, 1000) < 2.05 * part
