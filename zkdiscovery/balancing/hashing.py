"""The parts that strategies by key share: hashes, the walk past endpoints that can't be taken, and the load bound.

Guarantee: the hashes are the same in every process and every version of Python (`hash` of a string is not).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, islice
from math import ceil
from random import getrandbits
from zlib import crc32

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.interface import Pick
from zkdiscovery.balancing.weighted import shares
from zkdiscovery.validation import check_number

HASHES = 2**32  # of keys
_STEPS = 64  # places of a table that a walk tries before it goes through the members one by one


def stable_hash(text: str, size: int = 8) -> int:
    """Return `size` bytes of BLAKE2b (RFC 7693) as a number, for values that are hashed once."""
    try:
        return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest())
    except AttributeError:
        raise _no_text(text) from None


def key_hash(key: str) -> int:
    """Return the CRC-32 of a key: a tenth of the cost of a cryptographic hash, and even enough for many keys."""
    try:
        return crc32(key.encode())
    except UnicodeEncodeError:  # such as a file name that is no UTF-8: it has lone surrogates
        return crc32(key.encode("utf-8", "surrogatepass"))
    except AttributeError:
        raise _no_text(key) from None


def _no_text(key: object) -> TypeError:
    return TypeError(f"a key must be a text, because it is hashed: got {key!r:.80}")


def fraction(key: str) -> float:
    """Return a number from 0.0 to below 1.0, always the same for a key, and independent of `key_hash`."""
    return stable_hash(key, 4) / HASHES


def in_order(members: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Sort by id, because tables must not depend on the order in which a client heard of the instances."""
    return tuple(sorted(members, key=lambda endpoint: endpoint.instance.id))


def walking(
    members: Sequence[Endpoint], otherwise: Pick, walk: Callable[[int], Iterator[Endpoint]], bound: float | None
) -> Pick:
    """Return a pick that goes along `walk(hash)` to the first member that is neither excluded nor at its load bound.

    If all that are left are at the bound, it is the first of them. Without a key, the walk begins anywhere.
    """
    size = len(members)
    full = load_bound(members, bound)

    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        start = getrandbits(32) if key is None else key_hash(key)
        last_resort = None
        one_by_one = (members[place % size] for place in range(start, start + size))
        for endpoint in chain(islice(walk(start), _STEPS), one_by_one):
            if endpoint.instance.id not in exclude:
                if full is None or not full(endpoint):
                    return endpoint
                last_resort = last_resort or endpoint
        return last_resort or otherwise(key, exclude)

    return pick


def load_bound(members: Sequence[Endpoint], bound: float | None) -> Callable[[Endpoint], bool] | None:
    """Return what tells of a member whether it has as many calls in flight as it may have; None without a bound.

    That is ceil(bound x share x (m + 1) / n) of m calls in flight at n members, with the member's weight as its share:
    "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup, Zadimoghaddam; SODA 2018). `m` is counted again after
    every n/16 questions, so that a pick costs the same for any number of members; it may be off by that much.
    """
    if bound is None:
        return None
    size = len(members)
    allowed = {id(member): bound * share / size for member, share in zip(members, shares(members), strict=True)}
    interval = size // 16 + 1
    state = [0, 0]  # calls in flight, questions until they are counted again; races of threads only make it count more

    def full(endpoint: Endpoint) -> bool:
        if state[1] <= 0:
            state[:] = sum([member.in_flight for member in members]), interval
        state[1] -= 1
        return endpoint.in_flight >= ceil(allowed[id(endpoint)] * (state[0] + 1) - 1e-9)  # not above it by rounding

    return full


def check_bound(bound: float | None) -> None:
    """Refuse anything but a load bound, with InvalidSettings."""
    if bound is not None:
        check_number(bound, "bound", above=1.0, most=1e6)
