"""Calls with retries and hedges: on another instance each time, within a budget and a time limit.

Threads: attempts run on the caller's thread, one after the other; with a hedge each on a thread of its own, and the
caller's waits for the first good answer. What the others still bring is reported to the balancer and then dropped.
"""

from __future__ import annotations

import contextvars
import inspect
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.errors import NoThreadAvailable, OperationTimeout
from zkdiscovery.model import Instance
from zkdiscovery.threads import start_thread
from zkdiscovery.validation import check_function, check_number, check_whole, deadline_after, refuse_coroutine

R = TypeVar("R")

R_co = TypeVar("R_co", covariant=True)


class TimedCall(Protocol[R_co]):
    """A function for `Service.call` that takes the seconds that are left for it."""

    def __call__(self, instance: Instance, /, *, timeout: float) -> R_co: ...


_ASYNC = "call() can't await, but `async with attempt()` can"
_TAKES_TIMEOUT = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


class RetryBudget:
    """Bounds retries to a share of the calls, so that retries do not multiply an overload (Finagle's retry budget).

    Each call adds `share` tokens up to `reserve`, each retry takes one.
    """

    def __init__(self, share: float = 0.2, reserve: float = 10.0) -> None:
        self._share = share
        self._reserve = reserve
        self._tokens = reserve
        self._lock = threading.Lock()

    def call(self) -> None:
        """A call began."""
        with self._lock:
            self._tokens = min(self._reserve, self._tokens + self._share)

    def retry(self) -> bool:
        """May a retry, or a hedge, begin?"""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True


class _Answer(NamedTuple, Generic[R]):
    endpoint: Endpoint
    begun: float  # monotonic seconds
    result: R | None
    error: BaseException | None
    may_retry: bool = False


@dataclass(slots=True)
class Call(Generic[R]):
    """One call, with all its attempts.

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
    fn: Callable[..., R]
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

    def run(self, first: Endpoint) -> R:
        """The first good answer. Raises what the last attempt raised, with notes of what was tried where."""
        if self.timeout is not None:
            self._end = deadline_after(self.timeout)
            if self._end <= time.monotonic():
                raise OperationTimeout(f"call of {self.service!r}: its time of {self.timeout:g} s is over already")
            self._longest = _longest_timeout(self.fn)
        self.budget.call()
        return self._in_turns(first) if self.hedge is None else self._hedged(first, self.hedge)

    def _in_turns(self, endpoint: Endpoint) -> R:
        while True:
            begun = self._begin(endpoint)
            attempt = self.attempt(endpoint)
            try:
                return self._try(attempt)
            except Exception as error:
                if not self._may_retry(attempt, error):
                    self._end_with(endpoint, begun, error)
                    raise
                self._note(endpoint, begun, error)
                another = self._another()
                if another is None:
                    self._tell(error)
                    raise
            endpoint = another

    def _hedged(self, first: Endpoint, delay: float) -> R:
        answers: queue.SimpleQueue[_Answer[R]] = queue.SimpleQueue()
        self._start(first, answers)
        running = 1
        pause: float | None = delay
        while True:
            answer, error = self._wait(answers, pause), None
            if answer is not None:
                running -= 1
                if (error := answer.error) is None:
                    return answer.result  # type: ignore[return-value] # it is there if there is no error
                if not answer.may_retry:
                    if not running or not isinstance(error, Exception):
                        self._end_with(answer.endpoint, answer.begun, error)
                        raise error
                    pause = None  # who was asked already may still give a good answer; nobody else is asked
                self._note(answer.endpoint, answer.begun, error)
                if running:
                    continue
            another = self._another(elsewhere=error is None)
            if another is not None and self._started(another, answers):
                running += 1
            elif error is None:
                pause = None  # nobody else is asked
            else:
                self._tell(error)
                raise error

    def _start(self, endpoint: Endpoint, answers: queue.SimpleQueue[_Answer[R]]) -> None:
        begun = self._begin(endpoint)
        attempt = self.attempt(endpoint)

        def answer() -> None:
            try:
                answers.put(_Answer(endpoint, begun, self._try(attempt), None))
            except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
                answers.put(_Answer(endpoint, begun, None, error, self._may_retry(attempt, error)))

        start_thread(partial(contextvars.copy_context().run, answer), "zkdiscovery-hedge")

    def _started(self, endpoint: Endpoint, answers: queue.SimpleQueue[_Answer[R]]) -> bool:
        """Start a further attempt. Where there is no thread for it, those that run still count."""
        try:
            self._start(endpoint, answers)
        except NoThreadAvailable:
            self._gave_up = "no thread can be started"
            return False
        return True

    def _wait(self, answers: queue.SimpleQueue[_Answer[R]], pause: float | None) -> _Answer[R] | None:
        """The next answer; None after `pause` seconds without one."""
        left = None if self._end is None else max(0.0, self._end - time.monotonic())
        patience = left if pause is None or (left is not None and left < pause) else pause
        try:
            return answers.get(timeout=patience)
        except queue.Empty:
            if patience != left:
                return None
        self._gave_up = f"no answer yet from {', '.join(self._tried)}"
        raise OperationTimeout(f"call of {self.service!r} not answered within {self.timeout:g} s: {self._told()}")

    def _begin(self, endpoint: Endpoint) -> float:
        self._tried.append(endpoint.instance.id)
        return time.monotonic()

    def _try(self, attempt: Attempt) -> R:
        with attempt:
            if self._longest is not None and self._end is not None:
                left = max(0.001, self._end - time.monotonic())
                result = self.fn(attempt.instance, timeout=min(left, self._longest))
            else:
                result = self.fn(attempt.instance)
            try:
                refuse_coroutine(result, "what is called", instead=_ASYNC)
            except TypeError:
                attempt.report(Outcome.CANCELLED)  # nothing ran
                raise
            return result

    def _may_retry(self, attempt: Attempt, error: BaseException) -> bool:
        """Whoever gave up wants no other answer, and takes nothing from the budget."""
        return isinstance(error, self.retry_on) and attempt.outcome is not Outcome.CANCELLED

    def _another(self, *, elsewhere: bool = False) -> Endpoint | None:
        """Where to try again, or to ask as well; None: not again."""
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


def check_call(
    fn: Callable[[Instance], object], retry_on: object, attempts: int, hedge: float | None
) -> tuple[type[BaseException], ...]:
    """Refuse what makes no sense, with TypeError or InvalidSettings; gives `retry_on` as a tuple."""
    check_function(fn, "what is called", instead=_ASYNC)
    kinds: tuple[Any, ...] = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise TypeError(f"retry_on must be an exception class, or a tuple of them: got {retry_on!r}")
    check_whole(attempts, "attempts", 1)
    if hedge is not None:
        check_number(hedge, "hedge", above=0.0, most=threading.TIMEOUT_MAX)
    return kinds
