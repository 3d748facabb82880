"""Calls: retries, hedges, time limits, and what an error tells. Without a service around them."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from tests.support import LIMIT
from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.call_policy import RetryBudget, check_call
from zkdiscovery.discovery.calls import Call
from zkdiscovery.errors import OperationTimeout
from zkdiscovery.model import Instance

SOON = 0.005  # seconds


class Code(Enum):
    CANCELLED = 1


class Service:
    """Endpoints that are picked in order."""

    def __init__(self, number: int = 3) -> None:
        self.endpoints = [Endpoint(Instance("payments", "10.0.0.1", 80, id="abcdef"[index])) for index in range(number)]
        self.budget = RetryBudget()

    def call(
        self,
        fn: Callable[..., str],
        *,
        attempts: int = 3,
        timeout: float | None = None,
        hedge: float | None = None,
    ) -> str:
        def choose(tried: list[str]) -> Endpoint | None:
            left = [endpoint for endpoint in self.endpoints if endpoint.instance.id not in tried]
            return (left or self.endpoints or [None])[0]

        def attempt(endpoint: Endpoint) -> Attempt:
            return Attempt(lambda *_: endpoint)

        kinds = check_call(ConnectionError, attempts, hedge)
        return Call("payments", fn, kinds, attempts, timeout, hedge, choose, attempt, self.budget).run(
            self.endpoints[0]
        )

    def wait_idle(self) -> None:
        for thread in threading.enumerate():
            if thread.name == "zkdiscovery-hedge":
                thread.join(LIMIT)
        assert [endpoint.in_flight for endpoint in self.endpoints] == [0] * len(self.endpoints)


def fails(instance: Instance) -> str:
    raise ConnectionError(instance.id)


def notes(error: BaseException) -> str:
    return "\n".join(error.__notes__)


@pytest.mark.parametrize("hedge", [None, LIMIT])
def test_the_last_error_tells_what_was_tried_where(hedge: float | None) -> None:
    service = Service()
    with pytest.raises(ConnectionError, match="c") as raised:
        service.call(fails, hedge=hedge)
    told = notes(raised.value)
    assert told.startswith("call of 'payments': a: ConnectionError after 0.")
    assert "; b: ConnectionError after" in told
    assert "; c: ConnectionError after" in told
    assert told.endswith("; 3 attempts at most")
    assert told.count("\n") == 0
    assert [endpoint.failures for endpoint in service.endpoints] == [1, 1, 1]


@pytest.mark.parametrize("hedge", [None, LIMIT])
def test_an_error_that_is_not_to_be_retried_tells_of_those_before_it(hedge: float | None) -> None:
    def fn(instance: Instance) -> str:
        raise (ConnectionError if instance.id == "a" else ValueError)(instance.id)

    with pytest.raises(ValueError, match="b") as raised:
        Service().call(fn, hedge=hedge)
    told = notes(raised.value)
    assert told.startswith("call of 'payments': a: ConnectionError after 0.")
    assert "; b: ValueError after" in told
    assert told.endswith("; not to be retried")
    with pytest.raises(KeyError) as raised_at_once:
        Service().call(lambda _: {}[""], hedge=hedge)
    assert not hasattr(raised_at_once.value, "__notes__")


@pytest.mark.parametrize("hedge", [None, LIMIT])
def test_whoever_gave_up_is_not_called_for_again(hedge: float | None) -> None:
    def fn(instance: Instance) -> str:
        calls.append(instance.id)
        error = ConnectionError("given up")
        error.code = lambda: Code.CANCELLED  # type: ignore[attr-defined] # as gRPC's errors
        raise error

    calls: list[str] = []
    service = Service()
    with pytest.raises(ConnectionError, match="given up"):
        service.call(fn, hedge=hedge)
    assert calls == ["a"]
    assert [endpoint.failures for endpoint in service.endpoints] == [0, 0, 0]
    assert [service.budget.retry() for _ in range(11)] == [True] * 10 + [False], "nothing was taken"


@pytest.mark.parametrize("hedge", [None, LIMIT])
def test_a_function_that_returns_a_coroutine_is_refused_and_says_nothing_of_the_instance(hedge: float | None) -> None:
    async def later(instance: Instance) -> str:
        return instance.id

    def fetch(instance: Instance) -> str:
        return later(instance)  # type: ignore[return-value]

    service = Service()
    with pytest.raises(TypeError, match="can't await"):
        service.call(fetch, hedge=hedge)
    assert [endpoint.failures for endpoint in service.endpoints] == [0, 0, 0]
    assert [endpoint.in_flight for endpoint in service.endpoints] == [0, 0, 0]


@pytest.mark.parametrize("attempts", [0, -1, math.nan, 2.5, True, "3", None])
def test_attempts_must_be_a_number_above_0(attempts: int) -> None:
    with pytest.raises(ValueError, match="attempts must be an integer, 1 or more"):
        Service().call(fails, attempts=attempts)


def test_a_call_whose_time_is_over_is_not_begun() -> None:
    service = Service()
    with pytest.raises(OperationTimeout, match=r"call of .payments.: its time of .* s is over already"):
        service.call(lambda instance: instance.id, timeout=0.0)
    assert {(endpoint.successes, endpoint.failures, endpoint.in_flight) for endpoint in service.endpoints} == {
        (0, 0, 0)
    }


def test_the_error_tells_why_it_was_not_tried_again() -> None:
    def slow(instance: Instance) -> str:
        assert not threading.Event().wait(2 * SOON)
        raise ConnectionError

    with pytest.raises(ConnectionError) as raised:
        Service().call(slow, timeout=SOON)
    assert notes(raised.value).endswith(f"the time of {SOON:g} s is over")
    service = Service()
    for _ in range(10):
        assert service.budget.retry()
    with pytest.raises(ConnectionError) as raised:
        service.call(fails)
    assert notes(raised.value).endswith("the budget of retries is used up")
    service = Service(1)

    def last(instance: Instance) -> str:
        service.endpoints.clear()
        raise ConnectionError

    with pytest.raises(ConnectionError) as raised:
        service.call(last)
    assert notes(raised.value).endswith("nothing else to call")


def test_a_function_that_asks_for_it_gets_the_time_that_is_left() -> None:
    got: list[Any] = []

    def fn(instance: Instance, timeout: float | None = None) -> str:
        got.append(timeout)
        if len(got) == 1:
            raise ConnectionError
        return instance.id

    def limited(instance: Instance, timeout: float = 7.0) -> Any:
        return timeout

    assert Service().call(fn, timeout=30.0) == "b"
    assert 29.0 < got[1] <= got[0] <= 30.0
    Service().call(fn)
    assert got[2] is None, "no time limit, nothing to hand on"
    assert Service().call(limited, timeout=30.0) == 7.0, "its own limit, or one that hangs would take all of the time"
    assert Service().call(limited, timeout=3.0) <= 3.0
    assert Service().call(lambda instance, **more: repr(sorted(more)), timeout=1.0) == "[]"


def test_a_hedge_asks_another_one_and_the_first_answer_counts() -> None:
    service, answered = Service(), threading.Event()

    def fn(instance: Instance) -> str:
        if instance.id == "a":
            assert answered.wait(LIMIT)
        return instance.id

    assert service.call(fn, hedge=SOON) == "b"
    assert service.endpoints[0].in_flight == 1, "still under way"
    answered.set()
    service.wait_idle()
    assert [endpoint.successes for endpoint in service.endpoints] == [1, 1, 0], "the late answer was learnt from, too"


def test_no_hedge_if_the_answer_is_there_in_time() -> None:
    service = Service()
    assert service.call(lambda instance: instance.id, hedge=LIMIT) == "a"
    service.wait_idle()
    assert service.endpoints[1].successes == 0


def test_a_failure_while_another_attempt_runs_waits_for_that() -> None:
    service, failed = Service(), threading.Event()

    def fn(instance: Instance) -> str:
        if instance.id == "a":
            assert failed.wait(LIMIT)
            return "a"
        failed.set()
        raise ConnectionError

    assert service.call(fn, attempts=2, hedge=SOON) == "a"
    service.wait_idle()


@pytest.mark.parametrize("well", [True, False])
def test_a_hedge_that_fails_takes_nothing_from_the_attempt_before_it(well: bool) -> None:
    """Though its error is not to be retried: somebody was asked already, and may give a good answer."""
    service, failed = Service(), threading.Event()

    def fn(instance: Instance) -> str:
        if instance.id == "a":
            assert failed.wait(LIMIT)
            if well:
                return "a"
            raise KeyError("a")
        failed.set()
        raise ValueError("b")

    if well:
        assert service.call(fn, hedge=SOON) == "a"
    else:
        with pytest.raises(KeyError) as raised:
            service.call(fn, hedge=SOON)
        assert "b: ValueError after" in notes(raised.value)
        assert "a: KeyError after" in notes(raised.value)
    service.wait_idle()


def test_hedges_take_from_the_budget_of_retries() -> None:
    service, go = Service(), threading.Event()
    while service.budget.retry():
        pass

    def fn(instance: Instance) -> str:
        assert not go.wait(10 * SOON)
        return instance.id

    assert service.call(fn, hedge=SOON) == "a"
    service.wait_idle()
    assert [endpoint.successes for endpoint in service.endpoints] == [1, 0, 0]


def test_there_is_no_hedge_on_the_same_instance() -> None:
    service = Service(1)

    def fn(instance: Instance) -> str:
        assert not threading.Event().wait(10 * SOON)
        return instance.id

    assert service.call(fn, hedge=SOON) == "a"
    assert service.endpoints[0].successes == 1


def test_a_hedged_call_ends_at_its_time_limit() -> None:
    service, go = Service(), threading.Event()

    def fn(instance: Instance) -> str:
        assert go.wait(LIMIT)
        return instance.id

    begun = time.monotonic()
    with pytest.raises(
        OperationTimeout, match=r"call of 'payments' not answered within 0\.5 s: no answer yet from a, b"
    ):
        service.call(fn, attempts=2, timeout=0.5, hedge=SOON)
    assert time.monotonic() - begun < LIMIT / 2
    go.set()
    service.wait_idle()


def test_errors_that_are_not_to_be_retried_end_a_hedged_call() -> None:
    def fn(instance: Instance) -> str:
        raise ValueError("as it is")

    service = Service()
    with pytest.raises(ValueError, match="as it is"):
        service.call(fn, hedge=SOON)
    service.wait_idle()
    assert service.endpoints[0].failures == 1


def test_hedged_attempts_see_the_callers_context() -> None:
    user = contextvars.ContextVar("user", default="nobody")
    user.set("alice")
    assert Service().call(lambda instance: user.get(), hedge=LIMIT) == "alice"


@pytest.mark.parametrize("hedge", [0.0, -1.0, float("nan"), True, "0.2"])
def test_a_hedge_must_be_a_time(hedge: float) -> None:
    with pytest.raises(ValueError, match="hedge must be a number, above 0"):
        Service().call(fails, hedge=hedge)


def test_the_reason_of_a_failure_is_remembered() -> None:
    (endpoint,) = Service(1).endpoints
    for report, trouble in [
        (lambda attempt: attempt.fail("the answer was empty"), "the answer was empty"),
        (lambda attempt: attempt.report(Outcome.OVERLOADED, "429"), "429"),
        (lambda attempt: attempt.report(Outcome.SUCCESS, "fine"), "429"),
        (lambda attempt: attempt.done(KeyError("secret")), "KeyError"),
    ]:
        with Attempt(lambda *_: endpoint) as attempt:
            report(attempt)
        assert endpoint.last_failure == trouble


def test_users_classify_what_counts_as_a_failure() -> None:
    def classify(error: BaseException | None) -> Outcome:
        return Outcome.CANCELLED if isinstance(error, TimeoutError) else Outcome.FAILURE if error else Outcome.SUCCESS

    (endpoint,) = Service(1).endpoints
    with pytest.raises(TimeoutError), Attempt(lambda *_: endpoint, classify=classify):
        raise TimeoutError
    assert (endpoint.successes, endpoint.failures) == (0, 0)
    with pytest.raises(KeyError), Attempt(lambda *_: endpoint, classify=classify):
        raise KeyError
    assert (endpoint.successes, endpoint.failures) == (0, 1)
