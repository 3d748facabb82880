"""Calls on threads with retries and hedges: on another instance each time, within a budget and a time limit.

Threads: attempts run on the caller's thread, one after the other; with a hedge each on a thread of its own, and the
caller's waits for the first good answer. What the others still bring is reported to the balancer and then dropped.
"""

from __future__ import annotations

import contextvars
import queue
from functools import partial
from typing import Any

from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.call_policy import Answer, CallPolicy
from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.threads import start_thread
from zkdiscovery.validation import refuse_coroutine

CANT_AWAIT = "call() can't await, but that of an AsyncClient and `async with attempt()` can"


class Call(CallPolicy):
    """One call on threads."""

    __slots__ = ()

    def run(self, first: Endpoint) -> Any:
        """The first good answer. Raises what the last attempt raised, with notes of what was tried where."""
        self._start_clock()
        return self._in_turns(first) if self.hedge is None else self._hedged(first, self.hedge)

    def _in_turns(self, endpoint: Endpoint) -> Any:
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

    def _hedged(self, first: Endpoint, delay: float) -> Any:
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._start(first, answers)
        running = 1
        pause: float | None = delay
        while True:
            answer, error = self._wait(answers, pause), None
            if answer is not None:
                running -= 1
                if (error := answer.error) is None:
                    return answer.result
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

    def _start(self, endpoint: Endpoint, answers: queue.SimpleQueue[Answer]) -> None:
        begun = self._begin(endpoint)
        attempt = self.attempt(endpoint)

        def answer() -> None:
            try:
                answers.put(Answer(endpoint, begun, self._try(attempt), None))
            except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
                answers.put(Answer(endpoint, begun, None, error, self._may_retry(attempt, error)))

        start_thread(partial(contextvars.copy_context().run, answer), "zkdiscovery-hedge")

    def _started(self, endpoint: Endpoint, answers: queue.SimpleQueue[Answer]) -> bool:
        """Start a further attempt. Where there is no thread for it, those that run still count."""
        try:
            self._start(endpoint, answers)
        except NoThreadAvailable:
            self._gave_up = "no thread can be started"
            return False
        return True

    def _wait(self, answers: queue.SimpleQueue[Answer], pause: float | None) -> Answer | None:
        """The next answer; None after `pause` seconds without one."""
        left = self._left
        patience = left if pause is None or (left is not None and left < pause) else pause
        try:
            return answers.get(timeout=patience)
        except queue.Empty:
            if patience != left:
                return None
        raise self._late()

    def _try(self, attempt: Attempt) -> Any:
        with attempt:
            result = self._called(attempt.instance)
            try:
                refuse_coroutine(result, "what is called", instead=CANT_AWAIT)
            except TypeError:
                attempt.report(Outcome.CANCELLED)  # nothing ran
                raise
            return result
