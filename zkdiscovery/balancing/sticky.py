"""Sticky: stay with one instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zkdiscovery.balancing.interface import Balancer, Pick, Picker, check_balancer, either, with_reserve
from zkdiscovery.balancing.p2c import P2C_EWMA

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from zkdiscovery.balancing.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Sticky:
    """The same instance at every pick, whatever the key, until that leaves or its weight becomes 0 (Curator's sticky).

    Each view of a service has its own.

    While it is excluded or ejected, `then` picks another one for the call; afterwards it is the same one as before. For
    services that keep something warm for a client; it balances nothing but the first picks of many clients.

    Args:
        then: the strategy that chooses the one to stay with.

    Raises:
        InvalidSettings: `then` is no strategy.
    """

    then: Balancer = P2C_EWMA

    def __post_init__(self) -> None:
        check_balancer(self.then, "then")

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """A picker for these endpoints."""
        if any(endpoint.instance.weight for endpoint in endpoints):
            for endpoint in endpoints:
                if not endpoint.instance.weight:
                    endpoint.favourite = False  # another one is from now on, even when the weight comes back
        return with_reserve(endpoints, self._group)

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        choose = either(self.then.build(members).pick, otherwise)
        favourite = next((member for member in members if member.favourite), None)

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            nonlocal favourite
            stay = favourite
            if stay is None and (found := choose(key)) is not None:
                # Of two threads that choose at the same time, the first decides for all.
                stay = favourite = favourite or found
                stay.favourite = True
            return stay if stay is None or stay.instance.id not in exclude else choose(key, exclude)

        return pick
