"""The strategies by name: ours, and those that other packages bring."""

from __future__ import annotations

from zkdiscovery.balancing.interface import Balancer, is_balancer
from zkdiscovery.balancing.least_in_flight import LeastInFlight
from zkdiscovery.balancing.maglev import Maglev
from zkdiscovery.balancing.p2c import P2cEwma
from zkdiscovery.balancing.rendezvous import Rendezvous
from zkdiscovery.balancing.ring import RingHash
from zkdiscovery.balancing.simple import Random, RoundRobin
from zkdiscovery.balancing.sticky import Sticky
from zkdiscovery.balancing.tiers import Tiers
from zkdiscovery.balancing.weighted import Weighted, WeightedRoundRobin
from zkdiscovery.balancing.zone import PreferZone, in_zone
from zkdiscovery.plugins import Plugins

BALANCERS: Plugins[Balancer] = Plugins(
    "balancer",
    {
        "p2c_ewma": P2cEwma,
        "round_robin": RoundRobin,
        "random": Random,
        "weighted": Weighted,
        "weighted_round_robin": WeightedRoundRobin,
        "least_in_flight": LeastInFlight,
        "ring_hash": RingHash,
        "maglev": Maglev,
        "rendezvous": Rendezvous,
        "sticky": Sticky,
        "prefer_zone": PreferZone,
        "tiers": Tiers,
    },
    group="zkdiscovery.balancers",
    fits=is_balancer,
    wanted="an object with build(endpoints), such as Subset(20, index=3)",
)


def resolve_balancer(spec: str | Balancer, zone: str | None = None) -> Balancer:
    """Return the strategy of that name, or `spec` itself if it is one.

    Args:
        spec: a name of ours, a name in the entry point group `zkdiscovery.balancers` of an installed package, or an
            object with `build`.
        zone: the client's own, for `PreferZone`.

    Raises:
        InvalidSettings: none of these; the message lists the names.
    """
    return in_zone(BALANCERS.resolve(spec), zone)
