"""The strategies by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from zkdiscovery.balancing.p2c import P2cEwma
from zkdiscovery.balancing.simple import Random, RoundRobin
from zkdiscovery.balancing.weighted import Weighted
from zkdiscovery.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zkdiscovery.balancing.interface import Balancer

BALANCERS: Mapping[str, Balancer] = MappingProxyType(
    {"p2c_ewma": P2cEwma(), "round_robin": RoundRobin(), "random": Random(), "weighted": Weighted()}
)


def resolve_balancer(spec: str | Balancer) -> Balancer:
    """The strategy of that name, or `spec` itself if it is one.

    Raises:
        InvalidSettings: neither; the message lists the names.
    """
    if isinstance(spec, str):
        if spec in BALANCERS:
            return BALANCERS[spec]
    elif callable(getattr(spec, "build", None)) and not isinstance(spec, type):
        return spec
    raise InvalidSettings(
        f"balancer must be one of {', '.join(map(repr, BALANCERS))}, or an object with build(endpoints), e.g. P2cEwma()"
    )
