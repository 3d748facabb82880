"""An instance, and what this process has learnt of it: calls in flight and a peak-sensitive answer time.

Guarantees: reading an endpoint takes no lock and no clock. `in_flight` is exact whatever the threads do, and never
below 0; `cost` agrees with it at the latest when the calls under way have ended. Of two answers reported at the same
moment the average may miss one.

How: with the interpreter lock (GIL), CPython switches threads only at calls and backward jumps, so a count is changed
in one piece by a statement that has neither. Where there is no such lock, each report holds the endpoint's own lock;
with the GIL that lock would cost a third of the whole report for nothing.

After a fork, make new endpoints: the calls in flight belong to the parent, and one of its threads may hold a lock.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from enum import Enum
from functools import wraps
from math import e, exp, inf, log2
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from zkdiscovery.model import Instance

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Seconds after which 1/e is left of an old answer time. Finagle has 10. With 15, clients of few calls know the slow
# ones for longer (many clients on mixed hardware, 99th percentile: 594 ms for 705), and a cold start is forgotten as
# soon as before; with 20 it is not (rolling deploy, calls too late: 0.09 % for 0.05 %). By benchmarks/balancing.
DECAY = 15.0
FAILURE_PENALTY = 5.0  # seconds that a failed call counts at least; doubles with each further one
LONGEST_PENALTY = 5120.0  # seconds; beside neighbours that cost 50 ms it has faded after 3 minutes
_FADING = log2(e) / DECAY  # powers of two per second
_SHORTEST = 1e-6  # seconds; keeps the logarithm finite
_GLIMPSE = 1e-3  # seconds; calls given up sooner don't make an endpoint that never answered look fast
_NONE = (0, 0)

GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


class Outcome(Enum):
    """The way in which a call ended."""

    SUCCESS = "success"  # it was answered
    FAILURE = "failure"  # it failed or ran out of time
    OVERLOADED = "overloaded"  # it was turned away: 429, 503 and their like
    CANCELLED = "cancelled"  # the caller gave up: tells nothing about the endpoint


_SUCCESS, _CANCELLED = Outcome.SUCCESS, Outcome.CANCELLED  # a global is read faster than an enum's member


def _exclusive(report: Callable[Concatenate[Endpoint, _P], _R]) -> Callable[Concatenate[Endpoint, _P], _R]:
    """Run the report under the endpoint's lock if there is no GIL."""
    if GIL:
        return report

    @wraps(report)
    def locked(self: Endpoint, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self._lock:
            return report(self, *args, **kwargs)

    return locked


class Listener(Protocol):
    """A listener to calls of an endpoint that did not go well. Any thread may call it."""

    def failed(self, endpoint: Endpoint, started: float, now: float) -> None:
        """A call that began at `started` failed."""

    def succeeded(self, endpoint: Endpoint, started: float) -> None:
        """A call that began at `started` was answered, the first one after a failure. Resets `failed_in_a_row`."""

    def given_up(self, endpoint: Endpoint, started: float, now: float) -> None:
        """A call that began at `started` was cancelled; told only of an endpoint that was ejected before."""


class EjectionRecord:
    """An endpoint's ejections. It stays on the endpoint over every change of the set.

    Attributes:
        until: monotonic seconds when it may be tried; 0.0 while it is in use.
        why: the reason of the last ejection.
        level: ejections one after the other.
        since: monotonic seconds of the last ejection, or of the return after it.
        probed_at: monotonic seconds when a pick last got it to try it; inf if none did since the last ejection.
        lasts: seconds that the last ejection takes.
    """

    __slots__ = ("lasts", "level", "probed_at", "since", "until", "why")

    def __init__(self) -> None:
        self.until = 0.0
        self.why = ""
        self.level = 0
        self.since = 0.0
        self.probed_at = inf
        self.lasts = 0.0


class Endpoint:
    """One instance and what this process has learnt of it. Belongs to one view, which reports each call to it.

    The answer time is a PeakEWMA (Finagle's): an answer slower than the average replaces it at once, a faster one
    draws it down with the time constant `DECAY`. For an answer that took `s` seconds, `dt` after the one before:

        average = s + max(0, average - s) * exp(-dt / DECAY)

    Between answers the average fades with the same constant (15 s), so that an endpoint once slow is tried again. The
    cost is `average * (in_flight / share + 1)`; `cost` is its logarithm plus now/DECAY (to base 2, the fastest). So the
    fading, which is the same for all, drops out of every comparison: costs are compared at any time without a clock.

    A call that failed or was turned away counts as an answer of at least 5 s; otherwise an endpoint that fails fast
    would attract the calls. This penalty must be more than the cost of the neighbours, which in a busy or slow service
    may be higher. So it doubles, up to 5,120 s, with each further failure of a call that began after the last one, if
    no success comes between. The success of a call that began after the failure ends the penalty: that answer counts.
    A cancelled call raises the average to the time that was waited for it, and never lowers it.

    An endpoint that never answered costs nothing while it is idle, and as much as one that failed while it has calls in
    flight. So it is tried at once, but as a rule with one call at a time until its first answer.

    Attributes:
        instance: replaced in place when only weight, status or metadata changed.
        in_flight: calls begun and not ended.
        cost: lower is better; only the order has a meaning.
        share: weight in proportion to the mean weight of its set; set by the balancer.
        registered_monotonic: monotonic seconds when it was registered, for slow start; None: not known.
        successes, failures: calls that ended so; cancelled ones are in neither.
        failed_in_a_row: failures since the last success.
        last_failure: the last failure in a few words, for people.
        listener: hears of failures, and of what follows them; None: nobody does.
        ejection, counted: the listener's own: the ejections; successes and failures when its interval began.
        memory, place: what the strategy remembers of the endpoint over changes of the set: an object of any type, None
            at first, and a number, so that no object is needed to keep one. A strategy within another one may find the
            other's there.
    """

    __slots__ = (
        "_average", "_clock", "_lock", "_penalty", "_stamp", "cost", "counted", "ejection", "failed_in_a_row",
        "failures", "in_flight", "instance", "last_failure", "listener", "memory", "place", "registered_monotonic",
        "share", "successes",
    )  # fmt: skip

    def __init__(self, instance: Instance, clock: Callable[[], float] = time.monotonic) -> None:
        self.instance = instance
        self.in_flight = 0
        self.cost = -inf
        self.share = 1.0
        self.registered_monotonic: float | None = None
        self.successes = 0
        self.failures = 0
        self.failed_in_a_row = 0
        self.last_failure = ""
        self.listener: Listener | None = None
        self.ejection: EjectionRecord | None = None
        self.counted = _NONE
        self.memory: Any = None
        self.place = 0
        self._average = 0.0  # seconds at `_stamp`; 0.0 before the first answer
        self._stamp = 0.0  # monotonic seconds of the last answer; before the first one, of the last call
        self._penalty = FAILURE_PENALTY  # seconds that a failure counts at least, if it comes next
        self._clock = clock
        if not GIL:
            # Re-entrant: a signal handler or a finalizer that reports a call may run inside a report of its own thread.
            self._lock = threading.RLock()

    @_exclusive
    def started(self) -> float:
        """Count a call that begins now; return the monotonic time in seconds, to hand to `finished`."""
        now = self._clock()
        self.in_flight += 1
        average = self._average
        if not average:
            average = FAILURE_PENALTY
            self._stamp = now
        # As in _weigh(), without the call. If another thread's report gets in between, `finished` puts it right.
        self.cost = log2(average * (self.in_flight / self.share + 1.0)) + self._stamp * _FADING
        return now

    @_exclusive
    def finished(self, started: float, outcome: Outcome) -> None:
        """Count the end of a call and learn from it. The caller makes exactly one call for each `started`."""
        if self.in_flight:
            self.in_flight -= 1
        now = self._clock()
        took = now - started
        if took <= 0.0:
            took = _SHORTEST
        if outcome is _CANCELLED:
            self._given_up(started, now, took)
        else:
            average = self._average
            if outcome is _SUCCESS:
                self._penalty = FAILURE_PENALTY
                self.successes += 1
                if self.failed_in_a_row:
                    average = self._recovered(started, average)
            else:
                took = self._failed(started, now, took)
            if average > took:
                took += (average - took) * exp((self._stamp - now) / DECAY)
            self._average = took
            self._stamp = now
            # As in _weigh(), without the call.
            in_flight = self.in_flight
            self.cost = log2(took * (in_flight / self.share + 1.0)) + now * _FADING
            if in_flight == self.in_flight:
                return
        self._weigh()

    def _given_up(self, started: float, now: float, took: float) -> None:
        """Learn from a cancelled call that its answer would have taken longer."""
        if took > (self.latency or _GLIMPSE):
            average = self._average
            if average > took:
                took += (average - took) * exp((self._stamp - now) / DECAY)
            self._average = took
            self._stamp = now
        if self.ejection is not None and self.listener is not None:
            self.listener.given_up(self, started, now)

    def _recovered(self, started: float, average: float) -> float:
        """Count a success after failures; return the average that still counts, in seconds."""
        if self.listener is None:
            self.failed_in_a_row = 0
        else:
            self.listener.succeeded(self, started)
        return 0.0 if started >= self._stamp else average

    def _failed(self, started: float, now: float, took: float) -> float:
        """Count a failure; return the answer time that it counts as, in seconds."""
        took = max(took, self._penalty)
        if started >= self._stamp:  # not one of several that failed together
            self._penalty = min(2.0 * self._penalty, LONGEST_PENALTY)
        self.failures += 1
        self.failed_in_a_row += 1
        if self.listener is not None:
            self.listener.failed(self, started, now)
        return took

    @property
    def latency(self) -> float | None:
        """The average answer time as it stands now, in seconds, faded since the last answer; None before the first."""
        average, stamp = self._average, self._stamp
        return average * exp(min(0.0, stamp - self._clock()) / DECAY) if average else None

    def _weigh(self) -> None:
        while True:
            in_flight = self.in_flight
            if average := self._average or (FAILURE_PENALTY if in_flight else 0.0):
                self.cost = log2(average * (in_flight / self.share + 1.0)) + self._stamp * _FADING
            else:
                self.cost = -inf
            # Another thread's report in between may have set the cost before us: ours would be out of date.
            if in_flight == self.in_flight:
                return

    def __repr__(self) -> str:
        learnt = f"{self._average * 1000:.1f} ms" if self._average else "no answer yet"
        return f"<Endpoint {self.instance.service}/{self.instance.id} in_flight={self.in_flight} {learnt}>"
