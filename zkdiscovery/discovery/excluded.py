"""The instances that a pick leaves out, as users give them."""

from __future__ import annotations

from collections.abc import Iterable

from zkdiscovery.model import Instance

Excluded = str | Instance | Iterable[str | Instance]

NOBODY: tuple[()] = ()  # the one empty tuple: to compare with it by identity costs a pick next to nothing


def excluded_ids(exclude: Excluded) -> frozenset[str]:
    """The ids of what is excluded: one id, one instance, or any number of either.

    Raises:
        TypeError: anything else.
    """
    try:
        each = (exclude,) if isinstance(exclude, str | Instance) else tuple(exclude)
        return frozenset([one if isinstance(one, str) else _id_of(one) for one in each])
    except TypeError:
        raise TypeError(f"exclude must be ids or instances: one, or an iterable of them: got {exclude!r:.80}") from None


def _id_of(instance: Instance) -> str:
    if not isinstance(instance, Instance):
        raise TypeError
    return instance.id
