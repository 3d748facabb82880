"""Client-side load balancing: immutable strategies that build pickers, and what is learnt of each endpoint.

Pure: no ZooKeeper, no thread and no I/O in here.
"""

from __future__ import annotations

from zkdiscovery.balancing.endpoint import Endpoint, Outcome
from zkdiscovery.balancing.interface import Balancer, Picker
from zkdiscovery.balancing.named import resolve_balancer
from zkdiscovery.balancing.p2c import P2cEwma
from zkdiscovery.balancing.simple import Random, RoundRobin
from zkdiscovery.balancing.weighted import Weighted

__all__ = [
    "Balancer",
    "Endpoint",
    "Outcome",
    "P2cEwma",
    "Picker",
    "Random",
    "RoundRobin",
    "Weighted",
    "resolve_balancer",
]
