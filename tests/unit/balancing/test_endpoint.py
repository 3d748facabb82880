"""What an endpoint learns from calls, on a clock that the test moves."""

from __future__ import annotations

import importlib.util
import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING

import pytest

from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.balancing import endpoint as endpoint_module
from zkdiscovery.balancing.endpoint import DECAY
from zkdiscovery.model import Instance

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

INSTANCE = Instance("payments", "10.0.0.1", 8000)


class Clock:
    now = 1000.0  # seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def answered(clock: Clock, *seconds: float) -> Endpoint:
    """An endpoint that answered calls which took so long, all of them ending now."""
    endpoint = Endpoint(INSTANCE, clock)
    for took in seconds:
        report(endpoint, clock, took)
    return endpoint


def report(endpoint: Endpoint, clock: Clock, took: float, outcome: Outcome = Outcome.SUCCESS) -> None:
    """A call that took so long and ends now."""
    clock.now -= took
    stamp = endpoint.started()
    clock.now += took
    endpoint.finished(stamp, outcome)


def same_cost(one: Endpoint, other: Endpoint) -> bool:
    return one.cost == pytest.approx(other.cost, abs=1e-6)


def test_started_returns_the_time_and_counts(clock: Clock) -> None:
    endpoint = Endpoint(INSTANCE, clock)
    assert endpoint.started() == clock.now
    assert endpoint.started() == clock.now
    assert endpoint.in_flight == 2
    for outcome in Outcome:
        endpoint.finished(clock.now, outcome)
    assert endpoint.in_flight == 0  # never below, even if reported too often


def test_the_default_clock_is_monotonic_time() -> None:
    endpoint = Endpoint(INSTANCE)
    assert endpoint.started() <= endpoint.started()


def test_a_slower_answer_replaces_the_average_at_once(clock: Clock) -> None:
    assert same_cost(answered(clock, 0.010, 0.012, 0.010, 1.0), answered(clock, 1.0))


def test_faster_answers_draw_the_average_down_with_the_time_constant(clock: Clock) -> None:
    endpoint = answered(clock, 1.0)
    clock.now += DECAY
    report(endpoint, clock, 0.010)
    assert same_cost(endpoint, answered(clock, 0.010 + 0.990 / math.e))


def test_a_fast_answer_right_after_a_slow_one_changes_next_to_nothing(clock: Clock) -> None:
    assert same_cost(answered(clock, 1.0, 0.010), answered(clock, 1.0))


def test_the_average_fades_until_the_endpoint_is_tried_again(clock: Clock) -> None:
    slow = answered(clock, 1.0)
    meeting = DECAY * math.log(1.0 / 0.010)  # when 1 s has faded to 10 ms
    clock.now += meeting - 0.1
    assert answered(clock, 0.010).cost < slow.cost
    clock.now += 0.2
    assert answered(clock, 0.010).cost > slow.cost


def test_cost_grows_with_calls_in_flight(clock: Clock) -> None:
    busy = answered(clock, 0.010)
    idle = busy.cost
    stamps = [busy.started() for _ in range(4)]
    assert same_cost(busy, answered(clock, 0.050))
    for stamp in stamps:
        busy.finished(stamp, Outcome.CANCELLED)
    assert busy.cost == idle


def test_calls_in_flight_count_in_proportion_to_weight(clock: Clock) -> None:
    large = answered(clock, 0.010)
    large.share = 4.0
    for _ in range(4):
        large.started()
    assert same_cost(large, answered(clock, 0.020))


def test_an_endpoint_without_answer_is_tried_with_one_call_at_a_time(clock: Clock) -> None:
    new = Endpoint(INSTANCE, clock)
    assert new.cost < answered(clock, 1e-9).cost
    first = new.started()
    assert same_cost(new, answered(clock, 2 * 5.0))
    clock.now += 1.0
    second = new.started()
    assert same_cost(new, answered(clock, 3 * 5.0))
    new.finished(second, Outcome.CANCELLED)
    clock.now -= 1.0
    new.finished(first, Outcome.CANCELLED)
    assert new.cost < answered(clock, 1e-9).cost, "given up at once: nothing is known of it"
    new.finished(new.started() - 0.010, Outcome.SUCCESS)
    assert same_cost(new, answered(clock, 0.010))


@pytest.mark.parametrize("outcome", [Outcome.FAILURE, Outcome.OVERLOADED])
def test_a_fast_failure_counts_as_a_slow_answer(clock: Clock, outcome: Outcome) -> None:
    failed = answered(clock, 0.010)
    report(failed, clock, 0.001, outcome)
    assert same_cost(failed, answered(clock, 5.0))


def test_a_slow_failure_counts_as_long_as_it_took(clock: Clock) -> None:
    failed = Endpoint(INSTANCE, clock)
    report(failed, clock, 30.0, Outcome.FAILURE)
    assert same_cost(failed, answered(clock, 30.0))


def test_failures_one_after_the_other_count_twice_as_much_each_up_to_a_limit(clock: Clock) -> None:
    failing = Endpoint(INSTANCE, clock)
    for penalty in [5.0 * 2**doublings for doublings in range(11)] + [5120.0] * 3:
        clock.now += 1.0
        report(failing, clock, 0.001, Outcome.FAILURE)
        assert same_cost(failing, answered(clock, penalty))


def test_calls_that_fail_together_count_as_two_failures_at_most(clock: Clock) -> None:
    failing = answered(clock, 0.010)
    stamps = [failing.started() for _ in range(50)]
    for stamp in stamps:
        clock.now += 1e-6
        failing.finished(stamp, Outcome.FAILURE)
    assert same_cost(failing, answered(clock, 10.0))


def test_a_success_ends_a_row_of_failures(clock: Clock) -> None:
    endpoint = Endpoint(INSTANCE, clock)
    for _ in range(5):
        clock.now += 1.0
        report(endpoint, clock, 0.001, Outcome.FAILURE)
    clock.now += 1000.0
    report(endpoint, clock, 0.010)
    assert same_cost(endpoint, answered(clock, 0.010))
    report(endpoint, clock, 0.001, Outcome.FAILURE)
    assert same_cost(endpoint, answered(clock, 5.0))


def test_a_success_right_after_a_failure_ends_its_penalty(clock: Clock) -> None:
    endpoint = answered(clock, 0.010)
    report(endpoint, clock, 0.001, Outcome.FAILURE)
    clock.now += 0.1
    report(endpoint, clock, 0.020)
    assert same_cost(endpoint, answered(clock, 0.020))


def test_a_success_of_a_call_from_before_the_failure_does_not_end_its_penalty(clock: Clock) -> None:
    endpoint = answered(clock, 0.010)
    before = endpoint.started()
    clock.now += 0.020
    report(endpoint, clock, 0.001, Outcome.FAILURE)
    endpoint.finished(before, Outcome.SUCCESS)
    assert same_cost(endpoint, answered(clock, 5.0))


def test_a_call_that_was_given_up_would_have_taken_longer(clock: Clock) -> None:
    """Or else one that hangs, and never answers, would attract the calls of callers who cancel theirs."""
    endpoint = answered(clock, 0.010)
    before = endpoint.cost
    report(endpoint, clock, 0.005, Outcome.CANCELLED)
    assert endpoint.cost == before, "that it would have taken 5 ms or more was known"
    report(endpoint, clock, 3.0, Outcome.CANCELLED)
    assert same_cost(endpoint, answered(clock, 3.0))
    hanging = Endpoint(INSTANCE, clock)
    report(hanging, clock, 0.060, Outcome.CANCELLED)
    assert same_cost(hanging, answered(clock, 0.060))
    assert (endpoint.successes, endpoint.failures, endpoint.failed_in_a_row) == (1, 0, 0)


@pytest.mark.parametrize("took", [0.0, -1.0])
def test_an_answer_in_no_time_has_a_finite_cost(clock: Clock, took: float) -> None:
    assert math.isfinite(answered(clock, took).cost)


def test_repr_shows_what_is_known(clock: Clock) -> None:
    endpoint = Endpoint(INSTANCE, clock)
    assert repr(endpoint) == "<Endpoint payments/10.0.0.1:8000 in_flight=0 no answer yet>"
    report(endpoint, clock, 0.0123)
    endpoint.started()
    assert repr(endpoint) == "<Endpoint payments/10.0.0.1:8000 in_flight=1 12.3 ms>"


def loaded_without_gil(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The endpoint's module as an interpreter without GIL loads it."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    spec = importlib.util.spec_from_file_location("endpoint_without_gil", endpoint_module.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["as it is", "without GIL"])
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return endpoint_module if request.param == "as it is" else loaded_without_gil(monkeypatch)


def test_reports_from_many_threads_are_all_counted(module: ModuleType) -> None:
    threads, calls = 8, 4000
    shared = module.Endpoint(INSTANCE)
    outcomes = list(module.Outcome)
    at_once = threading.Barrier(threads)

    def hammer(seed: int) -> int:
        random = Random(seed)
        at_once.wait(10)
        open_calls = []
        least = 0
        for _ in range(calls):
            open_calls.append(shared.started())
            if random.random() < 0.7:
                shared.finished(open_calls.pop(), random.choice(outcomes))
            least = min(least, shared.in_flight)
        for stamp in open_calls:
            shared.finished(stamp, module.Outcome.SUCCESS)
        return least

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            least = list(pool.map(hammer, range(threads)))
    finally:
        sys.setswitchinterval(interval)
    assert least == [0] * threads
    assert shared.in_flight == 0
    settled = shared.cost
    shared.finished(shared.started(), module.Outcome.CANCELLED)
    assert shared.cost == settled  # the last report's cost was that of 0 in flight


class Overtaken(Endpoint):
    """While a report weighs, another thread's report runs: `meanwhile`, once."""

    __slots__ = ("meanwhile",)

    def __init__(self, clock: Clock) -> None:
        self.meanwhile: Callable[[], None] | None = None
        super().__init__(INSTANCE, clock)

    @property
    def share(self) -> float:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return 1.0

    @share.setter
    def share(self, value: float) -> None:
        assert value == 1.0


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.SUCCESS])
def test_a_report_that_was_overtaken_does_not_leave_an_old_cost(clock: Clock, outcome: Outcome) -> None:
    endpoint = Overtaken(clock)
    first, second = endpoint.started(), endpoint.started()
    clock.now += 0.010
    endpoint.meanwhile = lambda: endpoint.finished(second, outcome)
    endpoint.finished(first, outcome)
    assert endpoint.meanwhile is None
    assert endpoint.in_flight == 0
    assert endpoint.cost == pytest.approx(answered(clock, 0.010).cost, abs=1e-6)


def test_without_gil_a_report_holds_the_endpoints_own_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded_without_gil(monkeypatch)
    free_elsewhere = []

    def clock() -> float:
        """Called in the midst of a report."""
        attempt = threading.Thread(target=lambda: free_elsewhere.append(shared._lock.acquire(blocking=False)))
        attempt.start()
        attempt.join(10)
        return 1000.0

    def clock_that_reports() -> float:
        """As a signal handler or a finalizer might, on the thread of the report under way."""
        shared._clock = clock
        shared.finished(shared.started(), module.Outcome.SUCCESS)
        return 1000.0

    shared = module.Endpoint(INSTANCE, clock_that_reports)
    shared.finished(shared.started(), module.Outcome.SUCCESS)
    assert shared.in_flight == 0
    assert free_elsewhere == [False] * 3
