"""Power of two choices by peak-sensitive answer time: the default strategy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, count, cycle, repeat
from math import ceil
from operator import itemgetter, sub
from random import Random, choice, random, randrange, sample

from zkdiscovery.balancing.endpoint import GIL, Endpoint
from zkdiscovery.balancing.interface import Pick, Strategy, draw_allowed
from zkdiscovery.balancing.weighted import GOLDEN, shares

_Deal = Callable[[tuple[Endpoint, ...]], tuple[Endpoint, ...]]

_ENTRIES = 4096  # pairs in the table, within these limits:
_MOST_ROUNDS, _FEWEST_ROUNDS = 64, 4
_SHORTEST_LINE = 64  # places in a round if weights differ


@dataclass(frozen=True, slots=True)
class P2cEwma(Strategy):
    """Of two endpoints the one with the lower cost: average answer time x (calls in flight + 1).

    The average is Finagle's PeakEWMA, see `Endpoint`; two choices are Mitzenmacher's ("The Power of Two Choices in
    Randomized Load Balancing", 2001). Comparing two keeps clear of slow and failing endpoints, and yet no endpoint, new
    and unknown ones included, gets more than twice its share, so that many clients do not herd onto the best one.

    Pairs come from a table that is walked from a random place on: a pick is one step along it and one comparison. It
    reads memory in order, because with 100,000 endpoints it is random reading that would cost.

    Weights decide how often an endpoint is in a pair, and calls in flight count in proportion to weight. So shares
    follow the weights when the service is busy. When it is idle, a small weight may get up to twice its share, because
    its answers are older and have faded. Dividing the whole cost by the weight would not do: an idle endpoint of
    weight 1.1 would win every pair against 1.0, and one of weight 10 among many of 1.0 would get no more than that
    one. An endpoint with more than half of the weight is also paired with itself. A weight is met to about 1/4,096 of
    the total; a smaller one is in the table of some clients and not of others, right on average.
    """

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        draw = endless(*pairs(members))

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            if exclude:
                return draw_allowed(exclude, pick, members, _cheaper_of_two) or otherwise(key, exclude)
            one, other = draw()
            return one if one.cost <= other.cost else other

        return pick


P2C_EWMA = P2cEwma()  # the default strategy


def _cheaper_of_two(members: list[Endpoint]) -> Endpoint:
    return min(sample(members, min(2, len(members))), key=lambda endpoint: endpoint.cost)


def endless(left: Sequence[Endpoint], right: Sequence[Endpoint]) -> Callable[[], tuple[Endpoint, Endpoint]]:
    """Return a function that gives one pair of the table after the other, for ever, to any number of threads."""
    if GIL:
        # All in C, which makes the whole pick a sixth faster. The table has to be complete, because an iterator that
        # allocates could let another thread in while it is in the middle of a step.
        return zip(cycle(left), cycle(right), strict=False).__next__
    ones, others = len(left), len(right)
    advance = count().__next__

    def draw() -> tuple[Endpoint, Endpoint]:
        place = advance()
        return left[place % ones], right[place % others]

    return draw


def pairs(members: tuple[Endpoint, ...]) -> tuple[Sequence[Endpoint], Sequence[Endpoint]]:
    """Return the table of pairs: the one of each pair, and the other; the shorter of the two is repeated.

    It is made of rounds. A round pairs a line, in which each endpoint occurs as often as its weight demands, with the
    same line turned by some offset: each endpoint is in as many pairs as is due, on both sides. Equal ones are next to
    each other, so an offset of at least the longest run pairs none with itself. Offsets are spread evenly (by the
    golden section), so that each endpoint meets many others. Short rounds are shuffled into each other, because a
    client of few calls that meets each endpoint at fixed intervals finds the good ones too seldom: the 99th percentile
    of many such clients is a quarter higher (`python -m benchmarks.balancing`, mixed hardware). The table begins at a
    random endpoint.
    """
    first = randrange(len(members))
    members = members[first:] + members[:first]
    share = shares(members)
    for endpoint, value in zip(members, share, strict=True):
        endpoint.share = value
    alike = share.count(share[0]) == len(share)
    length = len(members) if alike else max(len(members), _SHORTEST_LINE)
    rounds = min(_MOST_ROUNDS, max(_FEWEST_ROUNDS, _ENTRIES // length))
    longest = min(1 if alike else ceil(max(share) * length / len(members)), length // 2)
    lines = [members] * rounds if alike else _dealt(members, share, length, rounds)
    if length > _ENTRIES:
        offsets = _offsets(length, rounds, longest, random())
        others: list[Endpoint] = []
        for line, offset in zip(lines, offsets, strict=True):
            others += line[-offset:]
            others += line[:-offset]
        return members if alike else tuple(chain.from_iterable(lines)), others
    deal_one, deal_other, turns = _shuffled(length, rounds, longest)
    ones = tuple(chain.from_iterable(lines))
    turn = choice(turns) if alike else 0
    return deal_one(ones), deal_other(ones[turn:] + ones[:turn])


def _offsets(length: int, rounds: int, longest: int, spread: float) -> list[int]:
    return [longest + int((spread + number * GOLDEN) % 1.0 * (length - 2 * longest + 1)) for number in range(rounds)]


@lru_cache(maxsize=8)
def _shuffled(length: int, rounds: int, longest: int) -> tuple[_Deal, _Deal, list[int]]:
    """Return two functions that make the one and the other of each pair, shuffled, from the lines; and the numbers of
    places by which the others may be turned before, if all lines are the same, so that tables differ.

    They are the same for the same sizes, because drawing them takes ten times as long as the rest of a table.
    """
    chance = Random(length)
    offsets = _offsets(length, rounds, longest, chance.random())
    one = chance.sample(range(length * rounds), length * rounds)
    other = [place - place % length + (place - offsets[place // length]) % length for place in one]
    return itemgetter(*one), itemgetter(*other), sorted({*range(length)}.difference(offsets)) or [0]


def _dealt(
    members: tuple[Endpoint, ...], share: Sequence[float], length: int, rounds: int
) -> list[tuple[Endpoint, ...]]:
    """Return the lines of all rounds; together they hold each member as often as its part of all places.

    This is systematic sampling: each member fills a row, and one random number rounds the ends of all rows, which is
    right on average. The rows are then dealt out to the rounds like cards.
    """
    scale = length * rounds / len(members)
    ends = list(map(int, accumulate([value * scale for value in share], initial=random())))
    ends[-1] = length * rounds  # whatever the sum of the fractions was rounded to
    rows = tuple(chain.from_iterable(map(repeat, members, map(sub, ends[1:], ends))))
    return [rows[number::rounds] for number in range(rounds)]
