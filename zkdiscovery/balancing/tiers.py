"""Priority tiers: a standby is called when the first choice can't take all calls."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.interface import Balancer, Pick, Strategy, check_balancer, either
from zkdiscovery.balancing.p2c import P2C_EWMA
from zkdiscovery.balancing.spill import OVER_PROVISIONING, preferring, weights_left
from zkdiscovery.validation import check_nonempty


@dataclass(frozen=True, slots=True)
class Tiers(Strategy):
    """Instances of the lowest tier as long as they can take it; then those of the next.

    A tier keeps the part min(1, 1.4 x weight that is not ejected / its whole weight) of the calls that come to it
    (Envoy's priority levels): all of them until 2 of 7 are ejected, then fewer and fewer. The tier of an instance is a
    whole number in its metadata; without one it is in tier 0.

    Only registered instances are counted. A tier that has lost most of its instances keeps all its calls (as in Envoy),
    and may be overloaded, until more instances register or some are ejected.

    Args:
        key: the key of the metadata.
        then: the strategy within each tier.

    Raises:
        InvalidSettings: an argument has the wrong type.
    """

    key: str = "tier"
    then: Balancer = P2C_EWMA

    def __post_init__(self) -> None:
        check_nonempty(self.key, "key")
        check_balancer(self.then, "then")

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        tiers: dict[int, list[Endpoint]] = {}
        for member in members:
            tiers.setdefault(self._tier(member), []).append(member)
        last, *before = sorted(tiers, reverse=True)
        pick = self.then.build(tiers[last]).pick
        for tier in before:
            pick = preferring(self.then.build(tiers[tier]).pick, pick, _healthy(tiers[tier]))
        return either(pick, otherwise)

    def _tier(self, endpoint: Endpoint) -> int:
        try:
            return int(endpoint.instance.metadata.get(self.key, "0"))
        except ValueError:
            return 0


def _healthy(members: list[Endpoint]) -> Callable[[Collection[str]], float]:
    (left,) = weights_left(members)
    whole = left(())
    return lambda exclude: OVER_PROVISIONING * left(exclude) / whole
