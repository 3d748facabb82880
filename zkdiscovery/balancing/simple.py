"""Round robin and random: no statistics, no weights but 0."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import count
from random import choice, random

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.interface import Pick, Strategy, draw_allowed


@dataclass(frozen=True, slots=True)
class RoundRobin(Strategy):
    """One after the other, whatever the weights (but 0).

    It starts at a random place, and newcomers join at random places, so that many clients that see the same change do
    not meet on the same instance. At a change of the set the turn goes on where it was. The position is a Python
    integer, so it never overflows.
    """

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        members = _by_turn(members)
        size = len(members)
        this = _Round(size)
        advance = this.advance
        for place, member in enumerate(members):
            member.memory = this
            member.place = place

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            if not exclude:
                return members[advance() % size]
            # The turn of an excluded member is skipped for all; otherwise the one behind it would get twice its share.
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


class _Round:
    """The order of one picker. Each endpoint remembers it and its own place, so that the next picker goes on there."""

    __slots__ = ("advance", "size")

    def __init__(self, size: int) -> None:
        self.advance = count().__next__
        self.size = size


def _by_turn(members: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Order the members by when their turn was to come in the rounds before; newcomers join anywhere, side by side."""
    size = len(members)
    anywhere = random()
    # Without a tuple for each endpoint: with 100,000 of them, those would set off the garbage collector.
    now = {one: one.advance() for one in {member.memory for member in members if type(member.memory) is _Round}}
    if not now:
        start = int(anywhere * size)
        return members[start:] + members[:start]
    waits = [
        ((member.place - now[one]) % one.size + 0.5) / one.size
        if type(one := member.memory) is _Round and one in now  # another thread may build a picker, too
        else (index / size + anywhere) % 1.0
        for index, member in enumerate(members)
    ]
    return tuple([members[place] for place in sorted(range(size), key=waits.__getitem__)])


@dataclass(frozen=True, slots=True)
class Random(Strategy):
    """Each with the same probability, whatever the weights (but 0)."""

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        size = len(members)

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            if exclude:
                return draw_allowed(exclude, pick, members, choice) or otherwise(key, exclude)
            return members[int(random() * size)]

        return pick
