"""Rendezvous hash: the same key to the same endpoint, exactly by weight, at a cost that grows with the set."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import log
from random import getrandbits

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.hashing import in_order, stable_hash
from zkdiscovery.balancing.interface import Pick, Strategy
from zkdiscovery.balancing.weighted import shares

_MASK = 2**64 - 1
_MIX_ONE, _MIX_TWO = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of splitmix64 (Steele, Lea, Flood; OOPSLA 2014)
_SCALE = 2.0**-52


@dataclass(frozen=True, slots=True)
class Rendezvous(Strategy):
    """Each endpoint has a score for each key, and the highest score gets it: -weight / ln(hash(key, id)).

    "A Name-Based Mapping Scheme for Rendezvous" (Thaler, Ravishankar; 1996), with weights as in Schindelhauer and
    Schomaker (SPAA 2005). Shares follow the weights exactly, for many keys; when an endpoint goes, no other key moves;
    when a weight grows, keys move only towards it. Nothing is built. A pick looks at every endpoint, some 0.3 µs each:
    use it for tens of them, and `Maglev` or `RingHash` for more. Without a key, a pick is random by weight.
    """

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        members = in_order(members)
        scored = [
            (stable_hash(endpoint.instance.id), -share, endpoint)
            for endpoint, share in zip(members, shares(members), strict=True)
        ]

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            name = getrandbits(64) if key is None else stable_hash(key)
            best, winner = -1.0, None
            for seed, weight, endpoint in scored:
                mixed = (name ^ seed) * _MIX_ONE & _MASK
                mixed = (mixed ^ mixed >> 31) * _MIX_TWO & _MASK
                score = weight / log(((mixed >> 12) + 0.5) * _SCALE)
                if score > best and endpoint.instance.id not in exclude:
                    best, winner = score, endpoint
            return winner or otherwise(key, exclude)

        return pick
