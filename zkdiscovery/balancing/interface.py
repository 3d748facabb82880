"""The interface of strategies: an immutable `Balancer` that builds a `Picker` for one set of endpoints.

Guarantees of every strategy here: a pick neither blocks nor takes a lock, ends after a bounded number of steps
whatever is excluded, and gives None only if everything is excluded or the set is empty. An endpoint of weight 0 is
picked only if no other is left. Any thread may pick at any time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from itertools import compress
from operator import not_
from typing import Protocol

from zkdiscovery.balancing.endpoint import Endpoint
from zkdiscovery.errors import InvalidSettings

_REDRAWS = 4  # draws that may hit an excluded endpoint before all are looked through


class Picker(Protocol):
    """A pick from one fixed set of endpoints."""

    def pick(self, key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        """Return an endpoint whose instance id is not in `exclude`; None if there is none.

        Args:
            key: what the call is about, for strategies that send the same key to the same instance; others ignore it.
            exclude: instance ids.
        """
        ...


class Balancer(Protocol):
    """A strategy with its settings. It is immutable, so that any number of views can share it."""

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """Return a picker for these endpoints, of which there may be none.

        Called on a thread of the client at each change of the set, while picks go on with the picker before. All views
        of a client wait for it. Endpoints that stay in the set are the same objects, so that nothing learnt of them is
        lost. The strategy itself must heed weights, 0 included.
        """
        ...


def is_balancer(value: object) -> bool:
    """Return whether it is an object with a method `build`, and not a class."""
    return callable(getattr(value, "build", None)) and not isinstance(value, type)


def check_balancer(value: object, what: str) -> None:
    """Refuse anything but a strategy, with InvalidSettings."""
    if not is_balancer(value):
        raise InvalidSettings(
            f"{what} must be a strategy such as RoundRobin(), not its name or its class: got {value!r:.80}"
        )


class Pick(Protocol):
    """The type of `Picker.pick`. Built as a closure: it costs a third less than a method that looks up attributes."""

    def __call__(self, key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None: ...


class ClosurePicker:
    """A picker whose `pick` is the closure given."""

    __slots__ = ("pick",)

    def __init__(self, pick: Pick) -> None:
        self.pick = pick


def nothing(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:  # noqa: ARG001
    """Pick from an empty set."""
    return None


class Strategy(ABC):
    """A strategy of this package: it picks endpoints of weight 0 only if nothing else is left."""

    __slots__ = ()

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """Return a picker for these endpoints."""
        pick: Pick = nothing
        regular, last_resort = by_weight(endpoints)
        for members in (last_resort, regular):
            if members:
                pick = self._group(members, pick)
        return ClosurePicker(pick)

    @abstractmethod
    def _group(self, members: tuple[Endpoint, ...], otherwise: Pick) -> Pick:
        """Return the pick from one group, all of positive weight or all of weight 0.

        It turns to `otherwise` when all of its members are excluded.
        """


def by_weight(endpoints: Sequence[Endpoint]) -> tuple[tuple[Endpoint, ...], tuple[Endpoint, ...]]:
    """Return the endpoints of positive weight, and those of weight 0."""
    weights = [endpoint.instance.weight for endpoint in endpoints]
    if all(weights):
        return tuple(endpoints), ()
    return tuple(compress(endpoints, weights)), tuple(compress(endpoints, map(not_, weights)))


def draw_allowed(
    exclude: Collection[str],
    draw: Callable[[], Endpoint | None],
    members: Sequence[Endpoint],
    choose: Callable[[list[Endpoint]], Endpoint],
) -> Endpoint | None:
    """Return a member that is not excluded: drawn a few times, then chosen among all that are left; None if none is."""
    for _ in range(_REDRAWS):
        endpoint = draw()
        if endpoint is not None and endpoint.instance.id not in exclude:
            return endpoint
    left = [endpoint for endpoint in members if endpoint.instance.id not in exclude]
    return choose(left) if left else None


def either(first: Pick, second: Pick) -> Pick:
    """Return the first pick, which turns to the second one if it has none."""
    if second is nothing:
        return first

    def pick(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        return first(key, exclude) or second(key, exclude)

    return pick
