"""Client-side load balancing: immutable strategies that build pickers, and what is learnt of each endpoint.

Pure: no ZooKeeper, no thread and no I/O in here.
"""

from zkdiscovery.balancing.ejection import Ejection
from zkdiscovery.balancing.endpoint import Endpoint, Outcome
from zkdiscovery.balancing.interface import Balancer, Picker
from zkdiscovery.balancing.least_in_flight import LeastInFlight
from zkdiscovery.balancing.maglev import Maglev
from zkdiscovery.balancing.named import resolve_balancer
from zkdiscovery.balancing.p2c import P2cEwma
from zkdiscovery.balancing.pool import Pool
from zkdiscovery.balancing.rendezvous import Rendezvous
from zkdiscovery.balancing.ring import RingHash
from zkdiscovery.balancing.simple import Random, RoundRobin
from zkdiscovery.balancing.sticky import Sticky
from zkdiscovery.balancing.subset import Subset
from zkdiscovery.balancing.tiers import Tiers
from zkdiscovery.balancing.weighted import Weighted, WeightedRoundRobin
from zkdiscovery.balancing.zone import PreferZone

__all__ = [
    "Balancer",
    "Ejection",
    "Endpoint",
    "LeastInFlight",
    "Maglev",
    "Outcome",
    "P2cEwma",
    "Picker",
    "Pool",
    "PreferZone",
    "Random",
    "Rendezvous",
    "RingHash",
    "RoundRobin",
    "Sticky",
    "Subset",
    "Tiers",
    "Weighted",
    "WeightedRoundRobin",
    "resolve_balancer",
]
