"""Ejection by a success rate far below that of the others."""

from __future__ import annotations

import pytest

from tests.unit.balancing.service import RULES, Service
from zkdiscovery.balancing import Outcome


def interval(service: Service, rates: list[float], calls: int = 100) -> None:
    """So many calls of each within one interval, never more than 4 failures in a row; a failure ends it."""
    begun = service.now
    for index, rate in enumerate(rates):
        failures = round((1 - rate) * calls)
        for number in range(calls):
            bad = (number + 1) * failures // calls > number * failures // calls
            service.report(index, Outcome.FAILURE if bad else Outcome.SUCCESS, took=0.0)
    service.now = begun + RULES.interval + 0.1
    service.report(0, Outcome.FAILURE, took=0.0)
    service.report(0, Outcome.SUCCESS, took=0.0)


def test_a_success_rate_far_below_the_others_ejects() -> None:
    service = Service(6)
    interval(service, [0.99] * 6)  # a first failure begins an interval
    interval(service, [0.99] * 5 + [0.6])
    assert set(service.picked()) == {0, 1, 2, 3, 4}
    assert "success rate 60" in service.endpoints[5].ejection.why


@pytest.mark.parametrize(
    ("rates", "calls"),
    [
        ([1.0] * 5 + [0.96], 100),  # far beyond the deviation, and yet no outlier
        ([0.99] * 5 + [0.6], 90),  # too few calls
        ([0.99] * 3 + [0.6], 100),  # too few instances
        ([0.8, 0.6, 0.9, 0.7, 0.65, 0.75], 100),  # all are bad
    ],
)
def test_success_rates_that_say_nothing(rates: list[float], calls: int) -> None:
    service = Service(len(rates))
    interval(service, [0.99] * len(rates), calls)
    interval(service, rates, calls)
    assert len(service.picked()) == len(rates)


def test_successes_of_long_ago_prove_nothing() -> None:
    service = Service(6)
    interval(service, [0.99] * 6)
    service.report(0, Outcome.SUCCESS, 10_000, took=0.0)
    service.now += 100 * RULES.interval
    interval(service, [0.99] * 5 + [0.6])
    interval(service, [0.99] * 5 + [0.6])
    assert set(service.picked()) == {0, 1, 2, 3, 4}
