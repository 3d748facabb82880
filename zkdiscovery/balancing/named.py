"""The strategies by name: ours, and those that other packages bring."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zkdiscovery import balancing
from zkdiscovery.balancing.interface import is_balancer
from zkdiscovery.balancing.zone import in_zone
from zkdiscovery.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zkdiscovery.balancing.interface import Balancer

ENTRY_POINTS = "zkdiscovery.balancers"  # group; a name there gives a strategy, or what makes one without arguments

BALANCERS: Mapping[str, str] = MappingProxyType(  # classes; each is loaded when it is asked for
    {
        "p2c_ewma": "P2cEwma",
        "round_robin": "RoundRobin",
        "random": "Random",
        "weighted": "Weighted",
        "weighted_round_robin": "WeightedRoundRobin",
        "least_in_flight": "LeastInFlight",
        "ring_hash": "RingHash",
        "maglev": "Maglev",
        "rendezvous": "Rendezvous",
        "sticky": "Sticky",
        "prefer_zone": "PreferZone",
        "tiers": "Tiers",
    }
)


def resolve_balancer(spec: str | Balancer, zone: str | None = None) -> Balancer:
    """The strategy of that name, or `spec` itself if it is one.

    Args:
        spec: a name of ours, a name in the entry point group `zkdiscovery.balancers` of an installed package, or an
            object with `build`.
        zone: the client's own, for `PreferZone`.

    Raises:
        InvalidSettings: none of these; the message lists the names.
    """
    found: Any = spec
    if isinstance(spec, str):
        found = getattr(balancing, BALANCERS[spec])() if spec in BALANCERS else _from_packages(spec)
    if is_balancer(found):
        return in_zone(found, zone)
    raise InvalidSettings(_unknown(spec))


def _unknown(spec: object) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - for a mistake only
    from importlib.metadata import entry_points  # noqa: PLC0415

    names = [*BALANCERS, *sorted(entry_points(group=ENTRY_POINTS).names)]
    near = get_close_matches(spec.lower().replace("-", "_"), names, n=1) if isinstance(spec, str) else ()
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"no balancer {spec!r:.80}.{hint} There are {', '.join(map(repr, names))}; or give an object with"
        f" build(endpoints), such as Subset(20, index=3); packages add names in the entry point group {ENTRY_POINTS!r}"
    )


def _from_packages(name: str) -> Any:
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes milliseconds, and few have need of it

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        try:
            found = entry.load()
            return found() if isinstance(found, type) or not hasattr(found, "build") else found
        except Exception as error:
            raise InvalidSettings(
                f"the balancer {name!r} of {entry.value!r} can't be loaded: {type(error).__name__}: {error}"
            ) from error
    return None
