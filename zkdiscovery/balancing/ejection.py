"""Outlier ejection: instances that keep failing are left out for a while, until a call to them succeeds.

A state machine on a monotonic clock, without a thread: an endpoint is in use, or ejected until some moment; then one
pick may try it, and the outcome of that call decides. It is driven by the endpoints' reports of failures, by the first
success of an ejected one, and by picks while something is ejected. Calls to a healthy service cost nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from random import random

from zkdiscovery.balancing.endpoint import EjectionRecord, Endpoint
from zkdiscovery.balancing.interface import Pick, by_weight
from zkdiscovery.errors import InvalidSettings
from zkdiscovery.validation import check_number, check_whole

JITTER = 0.5  # an ejection is longer by up to this part, so that many clients don't come back at the same moment
MARGIN = 0.05  # success rates this close to the mean are no outliers, however small the deviation is


@dataclass(frozen=True, slots=True)
class Ejection:
    """The rules by which failing instances are ejected: Envoy's outlier detection, but for the way back.

    An instance is ejected after `consecutive` failures in a row; and if its success rate over the last `interval` is
    below mean - `deviations` x standard deviation, and 5 percentage points below the mean, of all that had at least
    `min_calls` calls, if those are at least `min_endpoints`. The first ejection takes `base` seconds, each further one
    twice as long, up to `longest`, plus a random part of up to a half. After `longest` seconds without an ejection it
    begins at `base` again. When the time is over, one call tries the instance (Linkerd's probation): a success brings
    it back, a failure ejects it again. If that call is cancelled, another one tries it `base` seconds later.

    Args:
        consecutive: failures in a row.
        base: seconds of the first ejection.
        longest: seconds that an ejection grows to.
        max_share: part of the instances that may be ejected at a time. One may always be ejected, the last one never.
        panic: if less than this part of the instances is in use, all are used, because then the fault is elsewhere.
        interval: seconds over which success rates are taken.
        min_calls: calls in that time from which an instance's success rate counts.
        min_endpoints: instances with `min_calls` calls from which success rates are compared.
        deviations: standard deviations below the mean that are too many; `math.inf`: success rates do not matter.

    Raises:
        InvalidSettings: out of range.
    """

    consecutive: int = 5
    base: float = 10.0
    longest: float = 300.0
    max_share: float = 0.5
    panic: float = 0.5
    interval: float = 10.0
    min_calls: int = 100
    min_endpoints: int = 5
    deviations: float = 1.9

    def __post_init__(self) -> None:
        for name in ("consecutive", "min_calls", "min_endpoints"):
            check_whole(getattr(self, name), name, 1)
        for name in ("base", "longest", "interval", "deviations"):
            check_number(getattr(self, name), name, above=0.0)
        if self.longest < self.base:
            raise InvalidSettings(f"longest must be base = {self.base:g} s or more: got {self.longest:g}")
        for name in ("max_share", "panic"):
            check_number(getattr(self, name), name, least=0.0, most=1.0)


class Ejector:
    """The ejections among the endpoints of one pool; the listener of those endpoints.

    Any thread may report. Everything is decided under the lock, which no pick waits for, and `changed` is called under
    it.

    Attributes:
        excluded: ids not to pick.
        due: monotonic seconds when the first of them may be tried; inf if there is none.
    """

    def __init__(self, rules: Ejection, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self.excluded: frozenset[str] = frozenset()
        self.due = inf
        self._rules = rules
        self._clock = clock
        self._changed = changed
        self._endpoints: tuple[Endpoint, ...] = ()
        self._counted: tuple[Endpoint, ...] | None = None
        self._ejected: list[Endpoint] = []
        self._interval_ends = inf
        # Re-entrant: a finalizer or a signal handler may report within a report of its own thread.
        self._lock = threading.RLock()

    def use(self, endpoints: Sequence[Endpoint], changed: Iterable[Endpoint]) -> None:
        """Take another set of endpoints; see `Pool.update`."""
        with self._lock:
            self._endpoints, self._counted = tuple(endpoints), None
            # Ejected endpoints of weight 0 count once nothing else is left.
            ejected = bool(self._ejected) or not any(endpoint.instance.weight for endpoint in endpoints)
            for endpoint in changed:
                endpoint.listener = self
                ejected = ejected or endpoint.ejection is not None
            if ejected:
                self._ejected = [each for each in self._regular() if each.ejection and each.ejection.until]
            self._recompute()

    # -- what endpoints report --

    def failed(self, endpoint: Endpoint, started: float, now: float) -> None:
        """A call that began at `started` failed."""
        with self._lock:
            record = endpoint.ejection
            if record is not None and record.until:
                if started >= record.probed_at:  # the call that was to try it
                    self._eject(endpoint, now, record.why)
                return
            if endpoint.failed_in_a_row >= self._rules.consecutive:
                self._eject(endpoint, now, f"{endpoint.failed_in_a_row} failures in a row")
            if now >= self._interval_ends or self._interval_ends == inf:
                self._end_interval(now)

    def succeeded(self, endpoint: Endpoint, started: float) -> None:
        """A call that began at `started` was answered by an endpoint that had failed before."""
        with self._lock:
            record = endpoint.ejection
            if record is not None and record.until:
                if started < record.since:
                    return  # begun before it was ejected
                record.until = 0.0
                record.since = self._clock()
                if endpoint in self._ejected:  # otherwise it has left
                    self._ejected.remove(endpoint)
                    self._recompute()
            # Under the lock, because a 0 after another thread's ejection would hide the successes that are to end it.
            endpoint.failed_in_a_row = 0

    def given_up(self, endpoint: Endpoint, started: float, now: float) -> None:
        """A call that began at `started` was cancelled. If it was to try the endpoint, another one soon may.

        Not at once, because callers with time limits of their own cancel their calls to an endpoint that hangs.
        """
        with self._lock:
            record = endpoint.ejection
            if record is not None and record.until and started >= record.probed_at:
                record.until = min(record.until, now + self._rules.base)
                self._recompute()

    # -- what picks ask --

    def probe(self, pick: Pick, key: str | None, exclude: Collection[str]) -> Endpoint | None:
        """Return an ejected endpoint to try now, for this call alone; None: there is none, or another thread looks.

        With a key, only the endpoint that the key belongs to.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            now = self._clock()
            for endpoint in self._ejected:
                record = endpoint.ejection
                if record is None or record.until > now or endpoint.instance.id in exclude:
                    continue
                if key is not None and pick(key, exclude) is not endpoint:
                    continue
                record.probed_at = now
                record.until = now + record.lasts  # in case that call is never reported
                self._recompute()
                return endpoint
            return None
        finally:
            self._lock.release()

    # -- under the lock --

    def _regular(self) -> tuple[Endpoint, ...]:
        """Return the endpoints that shares are counted of: those of weight 0 only if there are no others."""
        if self._counted is None:
            regular, last_resort = by_weight(self._endpoints)
            self._counted = regular or last_resort
        return self._counted

    def _eject(self, endpoint: Endpoint, now: float, why: str) -> None:
        if endpoint not in self._ejected:
            regular = self._regular()
            allowed = min(len(regular) - 1, max(1, int(self._rules.max_share * len(regular))))
            if len(self._ejected) >= allowed or endpoint not in regular:  # it may have left
                return
            self._ejected.append(endpoint)
        record = endpoint.ejection = endpoint.ejection or EjectionRecord()
        well = 0.0 if record.until else now - record.since
        record.level = 1 if well > self._rules.longest else record.level + 1
        record.lasts = min(self._rules.longest, self._rules.base * 2.0 ** min(record.level - 1, 64))
        record.lasts *= 1.0 + JITTER * random()
        record.until = now + record.lasts
        record.since = now
        record.probed_at = inf
        record.why = why
        endpoint.failed_in_a_row = max(1, endpoint.failed_in_a_row)  # so that its next success is reported
        self._recompute()

    def _end_interval(self, now: float) -> None:
        # If nothing failed for long, the interval is too long, and old successes prove nothing.
        usable = now <= self._interval_ends + self._rules.interval < inf
        rates: list[tuple[float, Endpoint]] = []
        for endpoint in self._regular():
            successes, failures = endpoint.counted
            endpoint.counted = endpoint.successes, endpoint.failures
            succeeded = endpoint.successes - successes
            calls = succeeded + endpoint.failures - failures
            if calls >= self._rules.min_calls:
                rates.append((succeeded / calls, endpoint))
        self._interval_ends = now + self._rules.interval
        if not usable or len(rates) < self._rules.min_endpoints:
            return
        mean = sum(rate for rate, _ in rates) / len(rates)
        deviation = sqrt(sum((rate - mean) ** 2 for rate, _ in rates) / len(rates))
        least = mean - max(MARGIN, self._rules.deviations * deviation)
        for rate, endpoint in sorted(rates, key=lambda pair: pair[0]):
            if rate >= least:
                break
            if endpoint not in self._ejected:
                self._eject(endpoint, now, f"success rate {rate:.1%}, mean {mean:.1%}")

    def _recompute(self) -> None:
        """Set `excluded` and `due` anew."""
        self.excluded, self.due = frozenset(), inf
        if ejected := self._ejected:
            number = len(self._regular())
            if number - len(ejected) >= max(1, self._rules.panic * number):
                self.excluded = frozenset(endpoint.instance.id for endpoint in ejected)
            self.due = min(r.until for e in ejected if (r := e.ejection))
        self._changed()
