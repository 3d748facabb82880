"""Some endpoints before others, as long as they can take the calls; zones and priority tiers share this."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import random

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.hashing import fraction
from zkdiscovery.balancing.interface import Pick
from zkdiscovery.balancing.weighted import shares

OVER_PROVISIONING = 1.4  # the load that the endpoints that are left can take, in times their usual one (Envoy's)


def preferring(near: Pick, far: Pick, keep: Callable[[Collection[str]], float]) -> Pick:
    """Return a pick that prefers `near` with the probability `keep(exclude)`, else `far`; the other one if it has none.

    A key goes the same way each time as long as the probability is the same; when it falls, further keys go far, and
    none comes back. Ejected endpoints are among the excluded, so the probability depends on health, too.
    """
    usual = keep(())

    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        part = keep(exclude) if exclude else usual
        if part >= 1.0 or part > (random() if key is None else fraction(key)):
            return near(key, exclude) or far(key, exclude)
        return far(key, exclude) or near(key, exclude)

    return pick


def weights_left(*groups: Sequence[Endpoint]) -> list[Callable[[Collection[str]], float]]:
    """Return for each group what tells how much weight is left without the excluded; the mean of all weights is 1.0."""
    share = iter(shares([endpoint for group in groups for endpoint in group]))
    return [_left({endpoint.instance.id: next(share) for endpoint in group}) for group in groups]


def _left(weights: dict[str, float]) -> Callable[[Collection[str]], float]:
    total = sum(weights.values())

    def left(exclude: Collection[str]) -> float:
        return max(0.0, total - sum([weights.get(name, 0.0) for name in set(exclude)])) if exclude else total

    return left
