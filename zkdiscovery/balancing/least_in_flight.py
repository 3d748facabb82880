"""Least in flight: the endpoint with the fewest calls under way, in proportion to weight."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import count
from random import randrange, sample

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.interface import Pick, Strategy, draw_allowed
from zkdiscovery.balancing.p2c import endless, pairs
from zkdiscovery.balancing.weighted import in_turns
from zkdiscovery.validation import check_whole

_TURNS = 256  # at most, in a round that says whose turn it is among equals


@dataclass(frozen=True, slots=True)
class LeastInFlight(Strategy):
    """The fewest calls in flight / weight: of all endpoints if they are few, else of two; equals take weighted turns.

    So an idle service follows the weights and a busy one the load. With (calls in flight + 1) / weight, an endpoint of
    small weight would get no call while another one is idle, which with few calls at a time is always the case.

    It is gRPC's and Envoy's least request. It compares two, because many clients that look at all would herd onto the
    same idle one, and because a scan costs in proportion to the endpoints ("The Power of Two Choices in Randomized Load
    Balancing", Mitzenmacher 2001). The pairs are those of `P2cEwma`, in which each is as often as its weight demands.

    It does not know answer times: an instance that fails fast attracts calls until it is ejected.

    Args:
        scan: endpoints up to which all are compared, 1 or more.

    Raises:
        InvalidSettings: out of range.
    """

    scan: int = 8

    def __post_init__(self) -> None:
        check_whole(self.scan, "scan", 1)

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        draw = endless(*pairs(members))  # sets each one's share, too
        return _of_all(members, otherwise) if len(members) <= self.scan else _of_two(members, draw, otherwise)


def _load(endpoint: Endpoint) -> float:
    return endpoint.in_flight / endpoint.share


def _of_all(members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
    beginnings = [members[first:] + members[:first] for first in range(len(members))]
    lines = [beginnings[first] for first in in_turns([member.share for member in members], _TURNS)]
    size = len(lines)
    advance = count(randrange(size)).__next__

    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        line = lines[advance() % size]
        if exclude:
            left = [endpoint for endpoint in line if endpoint.instance.id not in exclude]
            return min(left, key=_load) if left else otherwise(key, exclude)
        return min(line, key=_load)

    return pick


def _of_two(members: tuple[Endpoint, ...], draw: Callable[[], tuple[Endpoint, Endpoint]], otherwise: Pick) -> Pick:
    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        if exclude:
            return draw_allowed(exclude, pick, members, _lighter_of_two) or otherwise(key, exclude)
        one, other = draw()
        return one if one.in_flight * other.share <= other.in_flight * one.share else other

    return pick


def _lighter_of_two(members: list[Endpoint]) -> Endpoint:
    return min(sample(members, min(2, len(members))), key=_load)
