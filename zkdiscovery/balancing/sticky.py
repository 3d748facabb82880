"""Sticky: stay with one instance."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.balancing.interface import Balancer, Pick, Picker, Strategy, check_balancer, either
from zkdiscovery.balancing.p2c import P2C_EWMA


class _Chosen(NamedTuple):
    """The state of the endpoint to stay with: that it is the one, and the state that `then` has of it."""

    inner: object


def _mark(endpoint: Endpoint) -> None:
    memory = endpoint.memory
    if type(memory) is not _Chosen:  # another thread may have marked it
        endpoint.memory = _Chosen(memory)


@dataclass(frozen=True, slots=True)
class Sticky(Strategy):
    """The same instance at every pick, whatever the key, until it leaves or its weight becomes 0 (Curator's sticky).

    Each view of a service has its own. While it is excluded or ejected, `then` picks another one for the call;
    afterwards it is the same one as before. Use it for services that keep something warm for a client: it balances
    nothing but the first picks of many clients.

    Args:
        then: the strategy that chooses the one to stay with.

    Raises:
        InvalidSettings: `then` is no strategy.
    """

    then: Balancer = P2C_EWMA

    def __post_init__(self) -> None:
        check_balancer(self.then, "then")

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """Return a picker for these endpoints."""
        if any(endpoint.instance.weight for endpoint in endpoints):
            for endpoint in endpoints:
                if not endpoint.instance.weight and type(memory := endpoint.memory) is _Chosen:
                    endpoint.memory = memory.inner  # another one from now on, even if the weight comes back
        return Strategy.build(self, endpoints)  # a class with slots has no super() before Python 3.14

    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        chosen = [(member, memory) for member in members if type(memory := member.memory) is _Chosen]
        sticky = chosen[0][0] if chosen else None
        for member, memory in chosen:
            member.memory = memory.inner  # what `then` left there
        try:
            choose = either(self.then.build(members).pick, otherwise)
        finally:
            for member, _ in chosen:
                _mark(member)

        def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            nonlocal sticky
            stay = sticky
            if stay is None and (found := choose(key)) is not None:
                # Of two threads that choose at the same time, the first decides for all.
                stay = sticky = sticky or found
                _mark(stay)
            return stay if stay is None or stay.instance.id not in exclude else choose(key, exclude)

        return pick
