"""The policy of a call: where it is tried, how often, and until when. Drivers run it on threads and on event loops."""

from __future__ import annotations

import inspect
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.errors import OperationTimeout
from zkdiscovery.model import Instance
from zkdiscovery.validation import check_number, check_whole, deadline_after

R_co = TypeVar("R_co", covariant=True)

SHARE, RESERVE = 0.2, 10.0  # retries for each call, and more than that


class TimedCall(Protocol[R_co]):
    """A function for `Service.call` that takes the seconds that are left for it."""

    def __call__(self, instance: Instance, /, *, timeout: float) -> R_co: ...


_TAKES_TIMEOUT = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


class RetryBudget:
    """Bounds retries to a share of the calls, so that retries do not multiply an overload (Finagle's retry budget).

    Each call adds `SHARE` tokens up to `RESERVE`, each retry takes one.
    """

    def __init__(self) -> None:
        self._tokens = RESERVE
        self._lock = threading.Lock()

    def call(self) -> None:
        """A call began."""
        with self._lock:
            self._tokens = min(RESERVE, self._tokens + SHARE)

    def retry(self) -> bool:
        """May a retry, or a hedge, begin?"""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True


class Answer(NamedTuple):
    """The end of one attempt.

    Attributes:
        endpoint: who was asked.
        begun: when, in monotonic seconds.
        result: what came back.
        error: what was raised instead; None if nothing was.
        may_retry: True if another instance may be asked because of `error`.
    """

    endpoint: Endpoint
    begun: float
    result: Any
    error: BaseException | None
    may_retry: bool = False


@dataclass(slots=True)
class CallPolicy:
    """One call with all its attempts.

    Args:
        service: its name, for messages.
        fn: see `Service.call`.
        retry_on: as there.
        attempts: at most.
        timeout: seconds for all of it; None: no limit.
        hedge: seconds without an answer after which another instance is asked as well; None: never.
        choose: an instance that was not tried; another one if there is none; None: nothing at all.
        attempt: makes the attempt on an endpoint.
        budget: of the view.
    """

    service: str
    fn: Callable[..., Any]
    retry_on: tuple[type[BaseException], ...]
    attempts: int
    timeout: float | None
    hedge: float | None
    choose: Callable[[list[str]], Endpoint | None]
    attempt: Callable[[Endpoint], Attempt]
    budget: RetryBudget
    _tried: list[str] = field(default_factory=list)
    _story: list[str] = field(default_factory=list)
    _gave_up: str = ""
    _end: float | None = None
    _longest: float | None = None  # seconds that `fn` may be given; None: it takes no time

    def _start_clock(self) -> None:
        """Begin the call.

        Raises:
            OperationTimeout: it has no time at all.
        """
        if self.timeout is not None:
            self._end = deadline_after(self.timeout)
            if self._end <= time.monotonic():
                raise OperationTimeout(f"call of {self.service!r}: its time of {self.timeout:g} s is over already")
            self._longest = _longest_timeout(self.fn)
        self.budget.call()

    @property
    def _left(self) -> float | None:
        """Seconds left; None: no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def _called(self, instance: Instance) -> Any:
        """Call the function of the user."""
        if self._longest is None or self._end is None:
            return self.fn(instance)
        left = max(0.001, self._end - time.monotonic())
        return self.fn(instance, timeout=min(left, self._longest))

    def _late(self) -> OperationTimeout:
        """The error of a call whose time is over while instances are asked."""
        self._gave_up = f"no answer yet from {', '.join(self._tried)}"
        return OperationTimeout(f"call of {self.service!r} not answered within {self.timeout:g} s: {self._told()}")

    def _begin(self, endpoint: Endpoint) -> float:
        self._tried.append(endpoint.instance.id)
        return time.monotonic()

    def _may_retry(self, attempt: Attempt, error: BaseException) -> bool:
        """Whoever gave up wants no other answer, and takes nothing from the budget."""
        return isinstance(error, self.retry_on) and attempt.outcome is not Outcome.CANCELLED

    def _another(self, *, elsewhere: bool = False) -> Endpoint | None:
        """Return where to try again, or to ask as well; None: not again."""
        if len(self._tried) >= self.attempts:
            self._gave_up = f"{self.attempts} attempts at most"
        elif self._end is not None and time.monotonic() >= self._end:
            self._gave_up = f"the time of {self.timeout:g} s is over"
        elif (another := self.choose(self._tried)) is None or (elsewhere and another.instance.id in self._tried):
            self._gave_up = "nothing else to call"
        elif not self.budget.retry():
            self._gave_up = "the budget of retries is used up"
        else:
            return another
        return None

    def _end_with(self, endpoint: Endpoint, begun: float, error: BaseException) -> None:
        """An error that is not to be retried tells of those before it, if there are any."""
        if self._story:
            self._note(endpoint, begun, error)
            self._gave_up = "not to be retried"
            self._tell(error)

    def _note(self, endpoint: Endpoint, begun: float, error: BaseException) -> None:
        took = time.monotonic() - begun
        self._story.append(f"{endpoint.instance.id}: {type(error).__name__} after {took:.3f} s")

    def _tell(self, error: BaseException) -> None:
        error.add_note(f"call of {self.service!r}: {self._told()}")

    def _told(self) -> str:
        return "; ".join([*self._story, self._gave_up])


def _longest_timeout(fn: Callable[..., Any]) -> float | None:
    """The most seconds to give to `fn`: the default of its parameter `timeout`; None if it has no such parameter."""
    try:
        parameter = inspect.signature(fn).parameters.get("timeout")
    except (TypeError, ValueError):  # a builtin without a signature
        return None
    if parameter is None or parameter.kind not in _TAKES_TIMEOUT:
        return None
    default = parameter.default
    return default if isinstance(default, (int, float)) and default > 0 else math.inf


def check_call(retry_on: object, attempts: int, hedge: float | None) -> tuple[type[BaseException], ...]:
    """Refuse what makes no sense, with TypeError or InvalidSettings; gives `retry_on` as a tuple."""
    kinds: tuple[Any, ...] = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise TypeError(f"retry_on must be an exception class, or a tuple of them: got {retry_on!r}")
    check_whole(attempts, "attempts", 1)
    if hedge is not None:
        check_number(hedge, "hedge", above=0.0, most=threading.TIMEOUT_MAX)
    return kinds
