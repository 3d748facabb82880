"""Ring hash: the same key to the same endpoint, and almost no other key moves when the set changes."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from math import floor, fsum, log2
from struct import unpack

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.hashing import check_bound, in_order, key_hash, walking
from zkdiscovery.balancing.interface import Pick, Strategy
from zkdiscovery.validation import check_whole

_BLOCK = 16  # points of 32 bits in one digest of 64 bytes
_LARGEST = 2**18  # points on one ring, if all weights are equal


@dataclass(frozen=True, slots=True)
class RingHash(Strategy):
    """Keys and endpoints lie on a ring of 2^32 places; a key belongs to the next point clockwise.

    "Consistent Hashing and Random Trees" (Karger and others, STOC 1997), with `points` points an endpoint, as many more
    as its weight is larger. When an endpoint goes, its keys go to others and no other key moves. An endpoint's share
    deviates by about 1/sqrt(points): 9 % for 128; `Maglev` shares out more evenly and picks faster, and moves a few
    more keys. Without a key, a pick is random by weight.

    Args:
        points: points of an endpoint of average weight, 1 to 65,536; fewer with more than 2,048 endpoints.
        bound: no endpoint gets more than this times its share of the calls in flight: keys that are too hot spill over
            to the next on the ring. None: no bound.

    Raises:
        InvalidSettings: out of range.
    """

    points: int = 128
    bound: float | None = None

    def __post_init__(self) -> None:
        check_whole(self.points, "points", 1, 65_536)
        check_bound(self.bound)

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        members = in_order(members)
        places, owners = _ring(members, self.points)
        size = len(places)

        def walk(start: int) -> Iterator[Endpoint]:
            first = bisect(places, start)
            return (owners[place % size] for place in range(first, first + size))

        careful = walking(members, otherwise, walk, self.bound)
        if self.bound is not None:
            return careful

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            if exclude or key is None:
                return careful(key, exclude)
            return owners[bisect(places, key_hash(key)) % size]

        return pick


def _ring(members: tuple[Endpoint, ...], points: int) -> tuple[list[int], list[Endpoint]]:
    """The points in order, and whose each is.

    The unit of weight is a power of 2 near the average: a small change of one weight must not move the points of all.
    """
    # Within limits, so that neither the mean nor its logarithm leaves the range of a float.
    weights = [min(max(endpoint.instance.weight or 1.0, 1e-300), 1e300) for endpoint in members]
    size = len(members)
    unit = 2.0 ** floor(log2(fsum(weight / size for weight in weights) * (1.0 + 1e-9)))  # not below it by rounding
    each = min(points, 2 ** floor(log2(_LARGEST / size)) if size < _LARGEST else 1)
    found: list[tuple[int, int]] = []
    for index, (endpoint, weight) in enumerate(zip(members, weights, strict=True)):
        count = max(1, round(each * weight / unit))
        name = endpoint.instance.id.encode("utf-8", "surrogatepass")
        blocks = (blake2b(name, salt=block.to_bytes(8)).digest() for block in range((count - 1) // _BLOCK + 1))
        places = chain.from_iterable(unpack("<16I", block) for block in blocks)
        found += [(place, index) for place in islice(places, count)]
    found.sort()
    return [place for place, _ in found], [members[index] for _, index in found]
