"""Maglev: the same key to the same endpoint by one look into a table, shared out evenly."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import cycle
from zlib import crc32

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.hashing import check_bound, in_order, stable_hash, walking
from zkdiscovery.balancing.interface import Pick, Strategy
from zkdiscovery.balancing.weighted import in_turns, shares

_SIZES = (65_537, 262_147, 1_048_583)  # entries of the table: primes
_ENTRIES = 2  # for each endpoint at least, on average


@dataclass(frozen=True, slots=True)
class Maglev(Strategy):
    """A key is hashed to an entry of a table that is filled by all endpoints in turns.

    "Maglev: A Fast and Reliable Software Network Load Balancer" (Eisenbud and others, NSDI 2016): entry j of an
    endpoint's preference list is (offset + j x skip) mod M, both hashed from its id, M = 65,537; at its turn each takes
    the first entry of its list that is free. Turns, and so entries, are in proportion to weight, within about one
    entry, and one at least. When one of 100 endpoints goes, about 1 % of the keys of the others move. Without a key, a
    pick is random by weight.

    Building the table takes 30 to 60 ms on the cache's thread up to some 10,000 endpoints, and a second or more for
    100,000. Meanwhile picks go on with the table before.

    Args:
        bound: no endpoint gets more than this times its share of the calls in flight: keys that are too hot spill over
            to the next entries. None: no bound.

    Raises:
        InvalidSettings: a bound that is not above 1.0.
    """

    bound: float | None = None

    def __post_init__(self) -> None:
        check_bound(self.bound)

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        members = in_order(members)
        table = _table(members)
        size = len(table)

        def walk(start: int) -> Iterator[Endpoint]:
            return (table[place % size] for place in range(start, start + size))

        careful = walking(members, otherwise, walk, self.bound)
        if self.bound is not None:
            return careful

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            if exclude or key is None:
                return careful(key, exclude)
            try:
                return table[crc32(key.encode()) % size]  # key_hash() without the call
            except (UnicodeEncodeError, AttributeError):
                return careful(key)

        return pick


def _table(members: tuple[Endpoint, ...]) -> list[Endpoint]:
    size = next((size for size in _SIZES if size >= _ENTRIES * len(members)), _SIZES[-1])
    hashes = [stable_hash(endpoint.instance.id, 16) for endpoint in members]
    preferred = [value % size for value in hashes]
    skip = [(value >> 64) % (size - 1) + 1 for value in hashes]
    owner = [-1] * size
    left = size
    for index in cycle(in_turns(shares(members), size)):
        place, step = preferred[index], skip[index]
        while owner[place] >= 0:
            place = (place + step) % size
        owner[place] = index
        preferred[index] = place
        left -= 1
        if not left:
            return [members[index] for index in owner]
    raise AssertionError("cycle() ends only for an empty set")
