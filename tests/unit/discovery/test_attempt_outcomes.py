"""What an error says about the instance, reports that count once, and the budget of retries."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import urllib.error
from collections.abc import Callable
from email.message import Message
from enum import Enum, IntEnum
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.call_policy import RetryBudget
from zkdiscovery.discovery.outcomes import outcome_of
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


class Code(Enum):
    """As gRPC's StatusCode: a number and a text for each name."""

    NOT_FOUND = (5, "not found")
    UNAVAILABLE = (14, "unavailable")
    OK = (0, "ok")
    SPLENDID = (99, "of no protocol")


class NumberedCode(IntEnum):
    NOT_FOUND = 5


class AttributesError(Exception):
    """An error whose attributes do what the functions given do."""

    def __getattr__(self, name: str) -> object:
        return self.__dict__["_given"][name]()

    def __init__(self, **given: Callable[[], object]) -> None:
        self._given = given


def unset() -> object:
    raise RuntimeError("not set")


class Unequal:
    """An object that can be asked nothing."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError

    __eq__ = __lt__ = __bool__ = __int__ = __index__ = _refuse  # type: ignore[assignment]
    __hash__ = _refuse  # type: ignore[assignment]
    __class__ = property(_refuse)  # type: ignore[assignment]


class Hostile(int):
    """A number that can be asked nothing."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse  # type: ignore[assignment]
    __hash__ = _refuse  # type: ignore[assignment]


async def later() -> int:
    return 404


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (HttpError(status_code=404), Outcome.SUCCESS),
        (HttpError(code=404), Outcome.SUCCESS),
        (HttpError(code=lambda: 404), Outcome.SUCCESS),
        (HttpError(status=304), Outcome.SUCCESS),
        (HttpError(status=HTTPStatus.BAD_GATEWAY), Outcome.FAILURE),
        (HttpError(code=Code.NOT_FOUND), Outcome.SUCCESS),
        (HttpError(code=lambda: Code.NOT_FOUND), Outcome.SUCCESS),
        (HttpError(status=NumberedCode.NOT_FOUND), Outcome.SUCCESS),
        (HttpError(code=Code.UNAVAILABLE), Outcome.FAILURE),
        (HttpError(code=Code.OK), Outcome.FAILURE),
        (HttpError(code=Code.SPLENDID), Outcome.FAILURE),
        (HttpError(code=Code.SPLENDID, response=SimpleNamespace(code=404)), Outcome.SUCCESS),
        (HttpError(response={"ResponseMetadata": {"HTTPStatusCode": 404}}), Outcome.SUCCESS),
        (HttpError(response={"ResponseMetadata": None}), Outcome.FAILURE),
        (HttpError(response={}), Outcome.FAILURE),
        (HttpError(code=5), Outcome.FAILURE),
        (HttpError(code=1006), Outcome.FAILURE),
        (HttpError(status=200), Outcome.FAILURE),
        (HttpError(status=True), Outcome.FAILURE),
        (HttpError(status=404.0), Outcome.FAILURE),
        (HttpError(status=math.nan), Outcome.FAILURE),
        (HttpError(status=b"404"), Outcome.FAILURE),
        (HttpError(code=HTTPStatus), Outcome.FAILURE),
        (HttpError(code=later), Outcome.FAILURE),
        (HttpError(code=unset), Outcome.FAILURE),
        (HttpError(code=lambda more: more), Outcome.FAILURE),
        (HttpError(code=Unequal()), Outcome.FAILURE),
        (HttpError(response=Unequal()), Outcome.FAILURE),
        (HttpError(status=Hostile(404)), Outcome.FAILURE),
        (AttributesError(response=unset, status=lambda: 404, status_code=unset, code=unset), Outcome.SUCCESS),
        (AttributesError(response=unset, status=unset, status_code=unset, code=unset), Outcome.FAILURE),
        (urllib.error.HTTPError("http://a", 404, "", Message(), None), Outcome.SUCCESS),
        (concurrent.futures.CancelledError(), Outcome.CANCELLED),
        (type("Cancelled", (BaseException,), {})(), Outcome.CANCELLED),
    ],
    ids=repr,
)
def test_a_status_is_found_where_clients_put_it_and_nothing_raises(error: BaseException, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def met(error: Exception, context: Exception) -> Exception:
    error.__context__ = context
    return error


def ring() -> Exception:
    one, other = ValueError(), ValueError()
    return caused(one, caused(other, one))


def nested(depth: int) -> Exception:
    error: Exception = HttpError(status=404)
    for _ in range(depth):
        error = ExceptionGroup("", [error])
    return error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (caused(LookupError(), HttpError(status=404)), Outcome.SUCCESS),
        (caused(LookupError(), caused(LookupError(), HttpError(status=429))), Outcome.OVERLOADED),
        (caused(HttpError(status=404), HttpError(status=500)), Outcome.SUCCESS),
        (caused(TimeoutError(), asyncio.CancelledError()), Outcome.FAILURE),
        (caused(TimeoutError(), HttpError(code=Code.NOT_FOUND)), Outcome.FAILURE),
        (caused(ValueError(), KeyboardInterrupt()), Outcome.FAILURE),
        (met(ValueError(), HttpError(status=404)), Outcome.FAILURE),
        (ring(), Outcome.FAILURE),
        (ExceptionGroup("", [HttpError(status=404), HttpError(status=503)]), Outcome.OVERLOADED),
        (ExceptionGroup("", [HttpError(status=404), OSError()]), Outcome.FAILURE),
        (BaseExceptionGroup("", [asyncio.CancelledError(), HttpError(status=404)]), Outcome.CANCELLED),
        (nested(3), Outcome.SUCCESS),
        (nested(3000), Outcome.FAILURE),
    ],
)
def test_causes_and_groups(error: BaseException, outcome: Outcome) -> None:
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


def test_a_cancellation_is_no_trouble() -> None:
    """What `explain` names as the last failure is a failure."""
    endpoint = Reports()
    for error in (ConnectionError(), asyncio.CancelledError()):
        with pytest.raises(type(error)), Attempt(lambda *_: endpoint) as attempt:
            raise error
    assert attempt.outcome is Outcome.CANCELLED
    assert endpoint.last_failure == "ConnectionError"
    assert endpoint.failed_in_a_row == 1


def test_an_interrupted_classification_leaves_nothing_in_flight() -> None:
    def interrupted(error: BaseException | None) -> Outcome:
        raise KeyboardInterrupt

    endpoint = Reports()
    with pytest.raises(KeyboardInterrupt), Attempt(lambda *_: endpoint, classify=interrupted):
        raise ValueError
    assert endpoint.in_flight == 0


def test_reports_outside_the_block() -> None:
    endpoint = Reports()
    attempt = Attempt(lambda *_: endpoint)
    attempt.done()
    attempt.fail()
    with attempt:
        pass
    assert endpoint.outcomes == [Outcome.SUCCESS]


def broken(error: BaseException | None) -> Outcome:
    raise RuntimeError("a defect")


def undecided(error: BaseException | None) -> Outcome:
    return None  # type: ignore[return-value]


async def decides_later(error: BaseException | None) -> Outcome:
    return Outcome.SUCCESS


def delayed(error: BaseException | None) -> Outcome:
    return decides_later(error)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("classify", "error"), [(broken, ValueError()), (undecided, ValueError()), (delayed, ValueError())]
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
