"""Slow start: an instance that has just registered gets a growing part of its share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from random import random

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.hashing import fraction
from zkdiscovery.balancing.interface import Pick

LEAST = 0.1  # of the share, at the beginning
_REDRAWS = 8  # picks that may hit an endpoint that is not warm


def note_registration_times(endpoints: Iterable[Endpoint], now: float, wall: float) -> None:
    """Set `registered_monotonic` of endpoints that have none: when they were registered, by the monotonic clock.

    After that, it does not matter if somebody sets a clock. An instance whose wrong clock says that it comes from the
    future counts as registered now.

    Args:
        endpoints: those to set it of.
        now: monotonic seconds.
        wall: seconds since the epoch.
    """
    for endpoint in endpoints:
        registered_at = endpoint.instance.registered_at
        if endpoint.registered_monotonic is None and registered_at is not None:
            endpoint.registered_monotonic = now - max(0.0, wall - registered_at)


def ramp(registered: float | None, now: float, window: float) -> float:
    """Return the part of its calls that an instance takes: max(0.1, age / window), at most 1.0 (Envoy's aggression 1).

    Args:
        registered: monotonic seconds; None: not known, so it is warm.
        now: monotonic seconds.
        window: seconds after which an instance has its whole share; 0.0: at once.
    """
    if registered is None or window <= 0.0:
        return 1.0
    return min(1.0, max(LEAST, (now - registered) / window))


def warming(
    inner: Pick, endpoints: Sequence[Endpoint], window: float, clock: Callable[[], float], over: Callable[[], None]
) -> Pick:
    """Return a pick that turns down young endpoints as often as their slow start demands; `inner` if none is young.

    A call that is turned down is drawn again among the others, up to 8 times. So slow start works in front of every
    strategy, and nothing is built again while time passes. A call with a key is turned down by a hash of key and id
    instead of at random: keys move to a young endpoint one by one, and each one stays there. Where all endpoints are
    young, they are compared to the oldest. If nearly all are young, they get up to a third less than their part.

    Args:
        inner: what to draw from.
        endpoints: what `inner` draws from.
        window, clock: see `ramp`; `clock` gives monotonic seconds.
        over: called by a pick once all of them are warm.
    """
    now = clock()
    young = {
        endpoint.instance.id: endpoint.registered_monotonic
        for endpoint in endpoints
        if endpoint.instance.weight
        and endpoint.registered_monotonic is not None
        and ramp(endpoint.registered_monotonic, now, window) < 1.0
    }
    if not young:
        return inner
    all_young = len(young) == sum(1 for endpoint in endpoints if endpoint.instance.weight)
    oldest = min(young.values())
    warm_at = max(young.values()) + window

    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        now = clock()
        if now >= warm_at:
            over()
            return inner(key, exclude)
        most = ramp(oldest, now, window) if all_young else 1.0
        first = endpoint = inner(key, exclude)
        for _ in range(_REDRAWS):
            # An endpoint of weight 0, which is the last resort, is no alternative to a young one.
            if endpoint is None or not endpoint.instance.weight:
                return first
            name = endpoint.instance.id
            if name not in young:
                return endpoint
            draw = random() if key is None else fraction(f"{name}\n{key}")
            if draw * most < ramp(young[name], now, window):
                return endpoint
            exclude = {*exclude, name}
            endpoint = inner(key, exclude)
        return endpoint or first

    return pick
