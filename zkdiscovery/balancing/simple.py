"""Round robin and random: no statistics, no weights but 0."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from random import choice, random
from typing import TYPE_CHECKING, NamedTuple

from zkdiscovery.balancing.interface import Pick, Picker, avoiding, with_reserve

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from zkdiscovery.balancing.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """One after the other, whatever the weights (but 0).

    It starts at a random place, and newcomers come in at random places, so that many clients that see the same change
    do not meet on the same instance. At a change of the set the turn goes on where it was. The position is a Python
    integer and does not overflow.
    """

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """A picker for these endpoints."""
        return with_reserve(endpoints, _in_turn)


class Round(NamedTuple):
    """The order of one picker; each of its endpoints knows it and its place in it, by which the next picker goes on."""

    advance: Callable[[], int]
    size: int


def _in_turn(members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
    members = _by_turn(members)
    size = len(members)
    advance = count().__next__
    this = Round(advance, size)
    for place, member in enumerate(members):
        member.round = this
        member.place = place

    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        if not exclude:
            return members[advance() % size]
        # The turn of an excluded member is skipped for all, or else the one behind it would get twice its share.
        for _ in members:
            start = advance()
            if members[start % size].instance.id not in exclude:
                return members[start % size]
        # Picks on other threads took the turns between.
        for step in range(start, start + size):
            if members[step % size].instance.id not in exclude:
                return members[step % size]
        return otherwise(key, exclude)

    return pick


def _by_turn(members: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Whose turn was to come next in the rounds before comes first; newcomers anywhere, side by side as they are."""
    size = len(members)
    anywhere = random()
    turns = [(member.round, member.place) for member in members]
    rounds = {one for one, _ in turns if one}
    if not rounds:
        start = int(anywhere * size)
        return members[start:] + members[:start]
    now = {one: one.advance() for one in rounds}  # how far each of them is
    waits = [
        ((place - now[one]) % one.size + 0.5) / one.size if one else (index / size + anywhere) % 1.0
        for index, (one, place) in enumerate(turns)
    ]
    return tuple([members[place] for place in sorted(range(size), key=waits.__getitem__)])


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
