"""Round robin and random: no statistics, no weights but 0."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from random import choice, random, randrange
from typing import TYPE_CHECKING

from zkdiscovery.balancing.interface import Pick, Picker, avoiding, with_reserve

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from zkdiscovery.balancing.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """One after the other, whatever the weights (but 0).

    Every picker starts at a random place, so that many clients which see the same change do not meet on the first
    instance. The position is a Python integer and does not overflow.
    """

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """A picker for these endpoints."""
        return with_reserve(endpoints, _in_turn)


def _in_turn(members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
    size = len(members)
    advance = count(randrange(size)).__next__

    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        if not exclude:
            return members[advance() % size]
        # From one position on, so that pickers on other threads can't make this one miss a member.
        start = advance()
        for step in range(start, start + size):
            endpoint = members[step % size]
            if endpoint.instance.id not in exclude:
                return endpoint
        return otherwise(key, exclude)

    return pick


@dataclass(frozen=True, slots=True)
class Random:
    """Each with the same probability, whatever the weights (but 0)."""

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """A picker for these endpoints."""
        return with_reserve(endpoints, _at_random)


def _at_random(members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
    size = len(members)

    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        if exclude:
            return avoiding(exclude, pick, members, choice) or otherwise(key, exclude)
        return members[int(random() * size)]

    return pick
