"""In proportion to weight, at the same cost for any number of endpoints: at random, or in turns."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count
from random import choices, random, randrange

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.interface import Pick, Strategy, draw_allowed

GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Weighted(Strategy):
    """Each with a probability in proportion to its weight."""

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        size = len(members)
        keep, alias = _alias_table(shares(members))
        aliases = [members[index] for index in alias]

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            if exclude:
                return draw_allowed(exclude, pick, members, _choose_by_weight) or otherwise(key, exclude)
            spot = random() * size
            column = int(spot)
            return members[column] if spot - column < keep[column] else aliases[column]

        return pick


_TURNS = 4096  # in a round, where the weights are no small whole numbers


@dataclass(frozen=True, slots=True)
class WeightedRoundRobin(Strategy):
    """In turns, each as often as its weight demands, its turns spread evenly over the round.

    It is the smooth weighted round robin of nginx and LVS, computed once instead of at each pick. Weights whose ratios
    are those of small whole numbers are met exactly in each round; others to one turn in a round of 4,096, or of two
    for each endpoint if there are more than 2,048. The smallest weight gets a turn, too; if many weights would have
    less than one turn, the round gets longer. The first round starts at a random place.
    """

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        turns = [members[index] for index in in_turns(shares(members), max(_TURNS, 2 * len(members)))]
        size = len(turns)
        advance = count(randrange(size)).__next__
        draw = lambda: turns[advance() % size]  # noqa: E731

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            if exclude:
                return draw_allowed(exclude, draw, members, _choose_by_weight) or otherwise(key, exclude)
            return turns[advance() % size]

        return pick


def _choose_by_weight(left: list[Endpoint]) -> Endpoint:
    return choices(left, shares(left))[0]


def in_turns(share: Sequence[float], most: int) -> list[int]:
    """Return indices in the order of their turns in one round of about `most` turns or less, each spread evenly.

    The k-th of c turns is due at (k + phase) / c of the round (earliest deadline first, as in Envoy's scheduler); the
    phases, by the golden section, keep those of equal weight apart. The result depends on the shares alone.
    """
    size = len(share)
    least = min(share)
    exact = [value / least for value in share]
    if sum(exact) <= most and all(abs(value - round(value)) < 1e-9 * value for value in exact):
        counts = [round(value) for value in exact]  # multiples of the smallest: a short round meets them exactly
    else:
        # Rounded by largest remainders, so that the sum is `most`: each is off by less than one turn.
        exact = [value * most / size for value in share]
        counts = [int(value) or 1 for value in exact]
        left = max(0, most - sum(counts))
        for index in sorted(range(size), key=lambda index: counts[index] - exact[index])[:left]:
            counts[index] += 1
    if max(counts) == min(counts):
        return list(range(size))
    due = [
        ((turn + (index + 1) * GOLDEN % 1.0) / number, index)
        for index, number in enumerate(counts)
        for turn in range(number)
    ]
    due.sort()
    return [index for _, index in due]


def shares(members: Sequence[Endpoint]) -> list[float]:
    """Return the weights in proportion to their mean, above 0; 1.0 for each if all are 0."""
    weights = [endpoint.instance.weight for endpoint in members]
    size = len(weights)
    if weights.count(weights[0]) == size:
        return [1.0] * size
    total = sum(weights)
    if total == math.inf:
        weights = [weight / size for weight in weights]
        total = sum(weights)
    mean = total / size
    return [weight / mean or sys.float_info.min for weight in weights]  # not 0, which callers would divide by


def _alias_table(share: list[float]) -> tuple[list[float], list[int]]:
    """Return Walker's alias table, built as by Vose (IEEE Trans. Softw. Eng. 17(9), 1991), in linear time.

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
    for index in poor:  # below 1.0 by no more than rounding
        keep[index] = 1.0
    return keep, alias
