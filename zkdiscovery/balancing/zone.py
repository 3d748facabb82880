"""Prefer one's own zone: calls across zones cost time and money."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.interface import Balancer, Pick, Strategy, check_balancer, either
from zkdiscovery.balancing.p2c import P2C_EWMA
from zkdiscovery.balancing.spill import OVER_PROVISIONING, preferring, weights_left
from zkdiscovery.validation import check_nonempty


@dataclass(frozen=True, slots=True)
class PreferZone(Strategy):
    """Instances of one's own zone as long as they can take it; the rest of the calls spills over to the other zones.

    With Z zones, each of which is assumed to make as many calls, the part that stays is

        min(1, 1.4 x Z x weight of the own zone / weight of all)

    counted without the ejected ones. A zone that has its share of the capacity, or at least 1/1.4 of it, keeps all its
    calls; a smaller one, or one with ejected instances, as many as it can take: 1.4 times its usual load is what it is
    provisioned for (Envoy's zone-aware routing and over-provisioning factor).

    Args:
        zone: one's own. None: the client's (`Client(zone=…)`, `ZKDISCOVERY_ZONE`); without any, no zone is preferred.
        then: the strategy within the own zone, and among all the others.

    Raises:
        InvalidSettings: an argument has the wrong type.
    """

    zone: str | None = None
    then: Balancer = P2C_EWMA

    def __post_init__(self) -> None:
        if self.zone is not None:
            check_nonempty(self.zone, "zone")
        check_balancer(self.then, "then")

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        own = tuple([member for member in members if self.zone and member.instance.zone == self.zone])
        others = tuple([member for member in members if not self.zone or member.instance.zone != self.zone])
        if not own or not others:
            return either(self.then.build(members).pick, otherwise)
        zones = len({member.instance.zone for member in members if member.instance.zone})
        own_left, others_left = weights_left(own, others)

        def keep(exclude: Collection[str]) -> float:
            mine = own_left(exclude)
            return OVER_PROVISIONING * zones * mine / (mine + others_left(exclude) or 1.0)

        near, far = self.then.build(own).pick, self.then.build(others).pick
        return either(preferring(near, far, keep), otherwise)


def in_zone(balancer: Balancer, zone: str | None) -> Balancer:
    """Return the strategy with the client's own zone wherever it asks for it."""
    # Only a dataclass can be replaced; an attribute `then` of another object is its own affair.
    outer: Any = balancer
    inner = getattr(outer, "then", None) if is_dataclass(outer) else None
    if inner is not None and (located := in_zone(inner, zone)) is not inner:
        balancer = replace(outer, then=located)
    if isinstance(balancer, PreferZone) and balancer.zone is None and zone:
        balancer = replace(balancer, zone=zone)
    return balancer
