"""What an error says about the instance, reports that count once, and the budget of retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.discovery.attempt import Attempt, outcome_of
from zkdiscovery.discovery.calls import RetryBudget
from zkdiscovery.errors import NoInstanceAvailable
from zkdiscovery.model import Instance


class HttpError(Exception):
    """As httpx's (`response.status_code`), aiohttp's (`status`) or urllib's (`status`)."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


def httpx_error(status: object) -> HttpError:
    return HttpError(response=SimpleNamespace(status_code=status))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome.SUCCESS),
        (ValueError(), Outcome.FAILURE),
        (ConnectionError(), Outcome.FAILURE),
        (asyncio.CancelledError(), Outcome.CANCELLED),
        (KeyboardInterrupt(), Outcome.CANCELLED),
        (SystemExit(), Outcome.CANCELLED),
        (GeneratorExit(), Outcome.CANCELLED),
        (httpx_error(429), Outcome.OVERLOADED),
        (httpx_error(503), Outcome.OVERLOADED),
        (httpx_error(500), Outcome.FAILURE),
        (httpx_error(408), Outcome.FAILURE),
        (httpx_error(404), Outcome.SUCCESS),
        (httpx_error("404"), Outcome.FAILURE),
        (HttpError(response=None), Outcome.FAILURE),
        (HttpError(response=SimpleNamespace(status=404)), Outcome.SUCCESS),
        (HttpError(status=503), Outcome.OVERLOADED),
        (HttpError(status=400), Outcome.SUCCESS),
    ],
)
def test_what_errors_say(error: BaseException | None, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


class Reports(Endpoint):
    """An endpoint that keeps what was reported to it."""

    __slots__ = ("outcomes",)

    def __init__(self) -> None:
        super().__init__(Instance("payments", "127.0.0.1", 8080))
        self.outcomes: list[Outcome] = []

    def finished(self, started: float, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        super().finished(started, outcome)


def test_the_first_report_counts() -> None:
    for report, outcome in [
        (lambda attempt: attempt.fail("slow"), Outcome.FAILURE),
        (lambda attempt: attempt.done(), Outcome.SUCCESS),
        (lambda attempt: attempt.done(httpx_error(503)), Outcome.OVERLOADED),
        (lambda attempt: None, Outcome.SUCCESS),
    ]:
        endpoint = Reports()
        with Attempt(lambda *_, endpoint=endpoint: endpoint) as attempt:
            report(attempt)
            if outcome is not Outcome.SUCCESS:
                attempt.done()
        attempt.fail()
        assert endpoint.outcomes == [outcome]
        assert endpoint.in_flight == 0


def test_leaving_with_an_error_reports_it() -> None:
    endpoint = Reports()
    with pytest.raises(HttpError), Attempt(lambda *_: endpoint):
        raise httpx_error(429)
    assert endpoint.outcomes == [Outcome.OVERLOADED]


def test_reports_outside_the_block() -> None:
    endpoint = Reports()
    attempt = Attempt(lambda *_: endpoint)
    attempt.done()
    attempt.fail()
    with attempt:
        pass
    assert endpoint.outcomes == [Outcome.SUCCESS]


class UnsetError(Exception):
    """As errors whose attributes raise while they are not set."""

    @property
    def response(self) -> object:
        raise RuntimeError("no response")


def broken(error: BaseException | None) -> Outcome:
    raise RuntimeError("a defect")


def undecided(error: BaseException | None) -> Outcome:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("classify", "error"), [(broken, ValueError()), (outcome_of, UnsetError()), (undecided, ValueError())]
)
def test_a_classification_that_raises_leaves_nothing_in_flight_and_hides_no_error(
    classify: Callable[[BaseException | None], Outcome], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = Reports()
    with pytest.raises(type(error)) as raised, Attempt(lambda *_: endpoint, classify=classify):
        raise error
    assert raised.value is error
    assert endpoint.outcomes == [Outcome.FAILURE]
    assert endpoint.in_flight == 0
    assert "can't classify" in caplog.text


def test_a_classification_that_raises_leaves_a_good_end_good() -> None:
    endpoint = Reports()
    with Attempt(lambda *_: endpoint, classify=broken) as attempt:
        attempt.done()
    assert endpoint.outcomes == [Outcome.SUCCESS]


@pytest.mark.parametrize("outcome", ["SUCCESS", None, 3])
def test_what_is_no_outcome_can_not_be_reported(outcome: Outcome) -> None:
    endpoint = Reports()
    with Attempt(lambda *_: endpoint) as attempt:
        with pytest.raises(TypeError, match=r"with an Outcome, such as Outcome\.FAILURE: got "):
            attempt.report(outcome)
        attempt.report(Outcome.OVERLOADED)
    assert endpoint.outcomes == [Outcome.OVERLOADED]


def test_an_attempt_without_an_endpoint_is_refused() -> None:
    with pytest.raises(NoInstanceAvailable, match="1 excluded"), Attempt(lambda *_: None, exclude=("a",)):
        pass


def test_a_pick_that_fails_enters_nothing() -> None:
    def nothing(*_: object) -> Endpoint:
        raise LookupError

    attempt = Attempt(nothing)
    for _ in range(2):
        with pytest.raises(LookupError), attempt:
            pass


def test_the_budget_starts_full_and_grows_with_calls() -> None:
    budget = RetryBudget()
    assert [budget.retry() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(4):
        budget.call()
    assert not budget.retry()
    budget.call()
    assert budget.retry()
    assert not budget.retry()


@given(st.lists(st.booleans(), max_size=300))
def test_retries_never_exceed_a_fifth_of_the_calls_and_ten(steps: list[bool]) -> None:
    budget = RetryBudget()
    calls = retries = 0
    for is_call in steps:
        if is_call:
            budget.call()
            calls += 1
        else:
            retries += budget.retry()
    assert retries <= 10 + calls / 5 + 1e-6
