"""Prefer one's own zone: calls across zones cost time and money."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from zkdiscovery.balancing.interface import Balancer, Pick, Picker, check_balancer, either, with_last_resort
from zkdiscovery.balancing.p2c import P2C_EWMA
from zkdiscovery.balancing.spill import OVER_PROVISIONING, preferring, weights_left
from zkdiscovery.validation import check_nonempty

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from zkdiscovery.balancing.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class PreferZone:
    """Instances of one's own zone as long as they can take it; the rest of the calls spills over to the other zones.

    With Z zones, whose clients are taken to call equally much, the part that stays is

        min(1, 1.4 x Z x weight of the own zone / weight of all)

    counted over those that are not ejected: a zone that has its share of the capacity, or at least 1/1.4 of it, keeps
    all its calls; a smaller or ailing one as many as it can take, 1.4 times its usual load being what it is provisioned
    for (Envoy's zone-aware routing and over-provisioning factor).

    Args:
        zone: one's own. None: the client's (`Client(zone=…)`, `ZKDISCOVERY_ZONE`); without any, no zone is preferred.
        then: the strategy within the own zone, and among all the others.

    Raises:
        InvalidSettings: an argument is of the wrong kind.
    """

    zone: str | None = None
    then: Balancer = P2C_EWMA

    def __post_init__(self) -> None:
        if self.zone is not None:
            check_nonempty(self.zone, "zone")
        check_balancer(self.then, "then")

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """A picker for these endpoints."""
        return with_last_resort(endpoints, self._group)

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
    """The strategy with the client's own zone wherever it asks for that."""
    # What others wrote and call `then` is theirs, if it can't be replaced.
    outer: Any = balancer
    inner = getattr(outer, "then", None) if is_dataclass(outer) else None
    if inner is not None and (located := in_zone(inner, zone)) is not inner:
        balancer = replace(outer, then=located)
    if isinstance(balancer, PreferZone) and balancer.zone is None and zone:
        balancer = replace(balancer, zone=zone)
    return balancer
