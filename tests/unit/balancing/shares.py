"""How often each endpoint is picked."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from zkdiscovery.balancing import Balancer, Endpoint

if TYPE_CHECKING:
    from collections.abc import Collection


def shares(balancer: Balancer, members: list[Endpoint], picks: int, exclude: Collection[str] = ()) -> Counter[str]:
    picker = balancer.build(members)
    counts: Counter[str] = Counter()
    for _ in range(picks):
        endpoint = picker.pick(exclude=exclude)
        assert endpoint is not None
        counts[endpoint.instance.id] += 1
    return counts


def chi_square(counts: Counter[str], weights: dict[str, float]) -> float:
    """Pearson's statistic in standard deviations from its mean, for these weights as the true proportions."""
    total, weight = counts.total(), sum(weights.values())
    expected = {name: total * part / weight for name, part in weights.items()}
    statistic = sum((counts[name] - mean) ** 2 / mean for name, mean in expected.items())
    freedom = len(weights) - 1
    return (statistic - freedom) / math.sqrt(2 * freedom)
