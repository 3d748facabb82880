"""Slow start: an instance that has just registered gets a growing part of its share."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from zkdiscovery.balancing.hashing import fraction

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from zkdiscovery.balancing.endpoint import Endpoint
    from zkdiscovery.balancing.interface import Pick

LEAST = 0.1  # of the share, at the beginning
_REDRAWS = 8  # picks that may hit somebody who has not warmed up


def note_registration_times(endpoints: Iterable[Endpoint], now: float, wall: float) -> None:
    """When each was registered, by the monotonic clock; once, when it is met first.

    From then on clocks that are set change nothing. An instance from the future, which a clock that is wrong may make,
    is as young as can be, but grows old as others do.

    Args:
        endpoints: whose `registered_monotonic` is to be known.
        now: monotonic seconds.
        wall: seconds since the epoch.
    """
    for endpoint in endpoints:
        registered_at = endpoint.instance.registered_at
        if endpoint.registered_monotonic is None and registered_at is not None:
            endpoint.registered_monotonic = now - max(0.0, wall - registered_at)


def ramp(registered: float | None, now: float, window: float) -> float:
    """The part of its calls that an instance takes: max(0.1, age / window), at most 1.0 (Envoy's, of aggression 1).

    Args:
        registered: monotonic seconds; None: unknown, thus warm.
        now: monotonic seconds.
        window: seconds after which an instance has its whole share; 0.0: at once.
    """
    if registered is None or window <= 0.0:
        return 1.0
    return min(1.0, max(LEAST, (now - registered) / window))


def warming(
    inner: Pick, endpoints: Sequence[Endpoint], window: float, clock: Callable[[], float], over: Callable[[], None]
) -> Pick:
    """The pick that turns down young endpoints as often as their slow start demands; `inner` itself if none is young.

    What one turns down goes to the others: a draw among them, again and again, up to 8 times. So it works in front of
    every strategy, and nothing is built again while time passes. A key is turned down by a hash of key and id instead
    of at random: keys come to a young endpoint one by one, and each comes to stay. Where all are young, the oldest is
    the measure; if nearly all are, they get up to a third less than their part.

    Args:
        inner: what to draw from.
        endpoints: what `inner` draws from.
        window, clock: see `ramp`; `clock` gives monotonic seconds.
        over: called by a pick when the last of them has become warm.
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
            # Whoever is kept in reserve for the case that nothing else is left is no alternative to a young one.
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
