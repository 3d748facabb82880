"""Random in proportion to weight, at the same cost for any number of endpoints."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from random import choices, random
from typing import TYPE_CHECKING

from zkdiscovery.balancing.interface import Pick, Picker, avoiding, with_reserve

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from zkdiscovery.balancing.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Weighted:
    """Each with a probability in proportion to its weight."""

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """A picker for these endpoints."""
        return with_reserve(endpoints, _by_weight)


def _by_weight(members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
    size = len(members)
    keep, alias = _alias_table(shares(members))
    aliases = [members[index] for index in alias]

    def settle(left: list[Endpoint]) -> Endpoint:
        weights = [endpoint.instance.weight for endpoint in left]
        return choices(left, weights if any(weights) else None)[0]

    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        if exclude:
            return avoiding(exclude, pick, members, settle) or otherwise(key, exclude)
        spot = random() * size
        column = int(spot)
        return members[column] if spot - column < keep[column] else aliases[column]

    return pick


def shares(members: Sequence[Endpoint]) -> list[float]:
    """The weights in proportion to their mean, above 0; 1.0 for each if all are 0."""
    weights = [endpoint.instance.weight for endpoint in members]
    size = len(weights)
    if weights.count(weights[0]) == size:
        return [1.0] * size
    total = sum(weights)
    if total == math.inf:
        weights = [weight / size for weight in weights]
        total = sum(weights)
    mean = total / size
    return [weight / mean or sys.float_info.min for weight in weights]  # a quotient of 0 would be divided by


def _alias_table(share: list[float]) -> tuple[list[float], list[int]]:
    """Walker's alias table, built as by Vose (IEEE Trans. Softw. Eng. 17(9), 1991), in linear time.

    Args:
        share: of each column, 1.0 on average.

    Returns:
        For each column the probability to keep it, and the index to take if it is not kept.
    """
    keep = share.copy()
    alias = list(range(len(share)))
    poor = [index for index, value in enumerate(share) if value < 1.0]
    rich = [index for index, value in enumerate(share) if value >= 1.0]
    while poor and rich:
        short, long = poor.pop(), rich.pop()
        alias[short] = long
        keep[long] -= 1.0 - keep[short]
        (poor if keep[long] < 1.0 else rich).append(long)
    for index in poor:  # short of 1.0 by no more than rounding
        keep[index] = 1.0
    return keep, alias
