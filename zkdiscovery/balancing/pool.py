"""The endpoints of one service that a view picks from, under one strategy, with ejection and slow start in front.

Guarantees: a pick never waits for a lock, and an update takes effect at once, in one assignment. While no endpoint is
ejected or in its slow start, `pick` is the strategy's own, so both cost nothing. There is no thread and no timer in
here: the next pick notices what is due.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from zkdiscovery.balancing.ejection import Ejection, Ejector
from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.interface import Balancer, Pick, nothing
from zkdiscovery.balancing.slow_start import note_registration_times, ramp, warming


class Pool:
    """Endpoints, a strategy, and what stands in front of it.

    Args:
        balancer: the strategy.
        ejection: when to leave out instances that fail; None: never.
        slow_start: seconds over which an instance that has just registered gets a growing part of its share; 0.0: none.
        clock: monotonic seconds; that of the endpoints.
        wall: seconds since the epoch, to compare with `registered_at` when an instance is met first.

    Attributes:
        pick: as `Picker.pick`; replaced at each change, so look it up for each call.
        endpoints: what it picks from.
    """

    __slots__ = (
        "_balancer", "_clock", "_ejector", "_ended", "_inner", "_lock", "_slow_start", "_wall", "endpoints", "pick",
    )  # fmt: skip

    def __init__(
        self,
        balancer: Balancer,
        *,
        ejection: Ejection | None = None,
        slow_start: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.endpoints: tuple[Endpoint, ...] = ()
        self._balancer = balancer
        self._slow_start = slow_start
        self._clock = clock
        self._wall = wall
        self._lock = threading.RLock()
        self._ended = False
        self._ejector = None if ejection is None else Ejector(ejection, clock, self._publish)
        self._inner: Pick = nothing
        self.pick: Pick = self._inner

    def update(self, endpoints: Sequence[Endpoint], changed: Iterable[Endpoint] | None = None) -> None:
        """Take another set; called by one thread at a time.

        Args:
            endpoints: all. Those that stay must be the same objects.
            changed: those that were not in the set before, or whose instance is another one; all if not given.
        """
        inner = self._balancer.build(endpoints).pick
        changed = endpoints if changed is None else changed
        if self._slow_start:
            note_registration_times(changed, self._clock(), self._wall())
        with self._lock:
            self.endpoints = tuple(endpoints)
            self._inner = inner
        if self._ejector is None:
            self._publish()
        else:
            self._ejector.use(endpoints, changed)

    def explain(self, endpoint: Endpoint) -> tuple[float, float | None, str]:
        """Return how the pool treats an endpoint now.

        Returns:
            the part of its share that slow start gives it; the seconds until it may be tried, None if it is not
            ejected; and why it gets less than its share, "" if it gets its share.
        """
        part = ramp(endpoint.registered_monotonic, self._clock(), self._slow_start)
        record, ejector = endpoint.ejection, self._ejector
        last = f", the last: {endpoint.last_failure}" if endpoint.last_failure else ""
        if ejector is not None and record is not None and (until := record.until):
            panic = "" if endpoint.instance.id in ejector.excluded else "; used all the same, as too few are left"
            return part, max(0.0, until - self._clock()), f"ejected: {record.why}{last}{panic}"
        why = "" if part >= 1.0 else "slow start"
        if failed := endpoint.failed_in_a_row:
            # The default strategy counts that as a very slow answer, which has to fade first.
            why = f"{'its last call' if failed == 1 else f'its last {failed} calls'} failed{last}"
        return part, None, why

    def end(self, pick: Pick) -> None:
        """Make `pick` the pick for good; later updates and ejections change nothing."""
        with self._lock:
            self._ended = True
            self.pick = pick

    def _publish(self) -> None:
        # The ejector's lock is taken before ours or not at all, so that the two can't wait for each other.
        with self._lock:
            if self._ended:
                return
            pick = self._inner
            if self._slow_start:
                pick = warming(pick, self.endpoints, self._slow_start, self._clock, self._warmed_up)
            ejector = self._ejector
            if ejector is not None and ejector.excluded:
                pick = self._skip_ejected(pick, ejector, ejector.excluded, ejector.due)
            self.pick = pick

    def _warmed_up(self) -> None:
        if self._lock.acquire(blocking=False):  # otherwise another thread publishes
            try:
                self._publish()
            finally:
                self._lock.release()

    def _skip_ejected(self, inner: Pick, ejector: Ejector, ejected: frozenset[str], due: float) -> Pick:
        clock = self._clock

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            if clock() >= due:
                probe = ejector.probe(inner, key, exclude)
                if probe is not None:
                    return probe
            # An ejected endpoint is better than none.
            return inner(key, ejected.union(exclude) if exclude else ejected) or inner(key, exclude)

        return pick
