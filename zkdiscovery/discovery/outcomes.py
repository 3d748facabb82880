"""The meaning of the exception that ended a call, for the instance.

Guarantees: nothing here imports a client library, and nothing raises, whatever an exception's attributes do. The
libraries are recognized by the places where they put the status, so that unknown ones that do the same work as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum

from zkdiscovery.balancing import Outcome

_OVERLOADED = frozenset({429, 503})  # HTTP: too many requests, service unavailable
_REQUEST_TIMEOUT = 408

# gRPC's codes, by name. UNKNOWN and DATA_LOSS are as HTTP 500: a handler that raised is answered with UNKNOWN.
_GRPC = {
    "CANCELLED": Outcome.CANCELLED,
    "RESOURCE_EXHAUSTED": Outcome.OVERLOADED,
    **dict.fromkeys(("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "DATA_LOSS"), Outcome.FAILURE),
    **dict.fromkeys(
        (
            "ABORTED", "ALREADY_EXISTS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE",
            "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED",
        ),
        Outcome.SUCCESS,
    ),
}  # fmt: skip

# Names of classes, because their modules may not be loaded.
_CANCELLATIONS = frozenset({"CancelledError", "FutureCancelledError"})  # concurrent.futures' and gRPC's are Exceptions
_NO_ANSWERS = frozenset({"HttpProcessingError"})  # aiohttp got no HTTP; it makes up the status 400
_LONGEST_CHAIN = 16  # causes that are looked at; a chain may be a ring
_WORST_FIRST = (Outcome.FAILURE, Outcome.OVERLOADED, Outcome.CANCELLED, Outcome.SUCCESS)


def outcome_of(error: BaseException | None) -> Outcome:
    """Return what an exception says about the instance.

    A status decides, if the exception or one of its causes (`raise … from …`) has one:

    - HTTP 429 and 503 and gRPC's RESOURCE_EXHAUSTED: OVERLOADED.
    - Other HTTP 5xx, 408, and gRPC's UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, UNKNOWN and DATA_LOSS: FAILURE.
    - Other HTTP 3xx and 4xx, and gRPC's other codes: SUCCESS, because the instance has answered.
    - gRPC's CANCELLED: CANCELLED.

    The status is found in `error.status_code`, `error.status` or `error.code`, in the same attributes of
    `error.response`, and in botocore's `error.response["ResponseMetadata"]["HTTPStatusCode"]`; it is a number or a
    member of an enum, and `code` may be a method. This covers httpx, requests, aiohttp, urllib, gRPC
    and botocore.

    Without a status a cancellation, and whatever is no `Exception`, such as KeyboardInterrupt, is CANCELLED. All else
    is a FAILURE. An exception group is the worst of what it holds.
    """
    if error is None:
        return Outcome.SUCCESS
    try:
        return _judge(error)
    except Exception:  # noqa: BLE001 - such as a group that is nested too deeply
        return Outcome.FAILURE


def _judge(error: BaseException) -> Outcome:
    if isinstance(error, BaseExceptionGroup):
        outcomes = {_judge(each) for each in error.exceptions}
        return next(outcome for outcome in _WORST_FIRST if outcome in outcomes)
    if not isinstance(error, Exception) or _is_one_of(_CANCELLATIONS, error):
        return Outcome.CANCELLED
    chain = list(_with_causes(error))
    if any(_is_one_of(_NO_ANSWERS, each) for each in chain):
        return Outcome.FAILURE
    for each in chain:
        for status in _statuses(each):
            if (outcome := _meaning(status)) is not None:
                return outcome
        if isinstance(each, OSError):  # a timeout or a broken connection speaks for itself, whatever it came from
            break
    return Outcome.FAILURE


def _is_one_of(names: frozenset[str], error: BaseException) -> bool:
    return not names.isdisjoint([kind.__name__ for kind in type(error).__mro__])


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its explicit causes. What was merely being handled, `__context__`, may be of another call."""
    cause: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if not isinstance(cause, Exception):
            return
        yield cause
        cause = cause.__cause__


def _statuses(error: BaseException) -> Iterator[object]:
    """Yield what stands where clients put a status, even if it is none."""
    response = _read(error, "response")
    for source in (error, response):
        if source is not None:
            yield _read(source, "status_code")
            yield _read(source, "status")
            # After `status`, because aiohttp's and websockets' `code` warn that they are deprecated.
            code = _read(source, "code")
            yield _called(code) if callable(code) else code
    if isinstance(response, dict) and isinstance(metadata := response.get("ResponseMetadata"), dict):
        yield metadata.get("HTTPStatusCode")


def _read(source: object, name: str) -> object:
    """The value of an attribute; None if it can't be had."""
    try:
        return getattr(source, name, None)
    except Exception:  # noqa: BLE001 - a stranger's attribute: urllib's HTTPError without a body raises KeyError
        return None


def _called(code: Callable[[], object]) -> object:
    """Call gRPC's method `code`; return None if that would wait."""
    try:
        value = code()
    except Exception:  # noqa: BLE001 - a stranger's method
        return None
    if inspect.iscoroutine(value):  # an asynchronous client's
        value.close()
    return value


def _meaning(status: object) -> Outcome | None:
    """Return what a status says; None if it is none that means anything here."""
    if isinstance(status, int) and 300 <= status <= 599:  # below, something else went wrong than the status says
        if status in _OVERLOADED:
            return Outcome.OVERLOADED
        return Outcome.SUCCESS if status < 500 and status != _REQUEST_TIMEOUT else Outcome.FAILURE
    return _GRPC.get(status.name) if isinstance(status, Enum) else None
