"""Deterministic subsets: each client talks to a few of many instances, and each instance to equally many clients."""

from __future__ import annotations

from dataclasses import dataclass

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.hashing import in_order, stable_hash
from zkdiscovery.balancing.interface import Balancer, Pick, Strategy, check_balancer, either
from zkdiscovery.balancing.p2c import P2C_EWMA
from zkdiscovery.balancing.weighted import GOLDEN
from zkdiscovery.validation import check_whole


@dataclass(frozen=True, slots=True)
class Subset(Strategy):
    """A client calls `size` instances that lie side by side on a ring, and the others only if none of them is left.

    A client then has fewer connections and knows answer times better: with 1,000 clients and 1,000 instances, each pair
    would meet rarely. The instances lie on the ring in the order of a hash of their ids, and client number i begins at
    (i x 0.618…) mod 1 of it. By the golden section the clients 0 … m-1 are spread evenly for every m, which need not be
    known (unlike in Finagle's deterministic aperture). When an instance comes or goes, a client exchanges at most two
    instances.

    Args:
        size: instances in the subset, 1 or more.
        index: this client's own number among all clients: 0, 1, 2, … without gaps, such as the ordinal of a stateful
            set. Two clients of the same number have the same subset.
        then: the strategy within the subset.

    Raises:
        InvalidSettings: out of range.
    """

    size: int
    index: int
    then: Balancer = P2C_EWMA

    def __post_init__(self) -> None:
        check_whole(self.size, "size", 1)
        check_whole(self.index, "index", 0)
        check_balancer(self.then, "then")

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        number = len(members)
        if number <= self.size:
            return either(self.then.build(members).pick, otherwise)
        ring = sorted(in_order(members), key=lambda endpoint: stable_hash(endpoint.instance.id))
        first = int(self.index * GOLDEN % 1.0 * number)
        turned = ring[first:] + ring[:first]
        subset, others = self.then.build(turned[: self.size]).pick, self.then.build(turned[self.size :]).pick
        return either(either(subset, others), otherwise)
