"""Names of the nodes of locks, ours and those of other software, and the order in which they stand.

Every child whose name ends in a separator and ten digits takes part, whoever made it. ZooKeeper counts the children
that a parent ever had. Beyond 2 ** 31 - 1 the count goes on at -2 ** 31, so numbers are compared around that circle.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

Layout: TypeAlias = Literal["curator", "kazoo"]

_NUMBER = re.compile(r"[-_](-?[0-9]{10})$")
_READER = re.compile(r"(?:__READ__|__rlock__)-?[0-9]{10}$")
_CIRCLE = 2**32


class Kind(StrEnum):
    """A purpose of a place."""

    LOCK = "lock"
    READ = "read"
    WRITE = "write"
    GATE = "gate"  # of a semaphore: who is next to look for a lease
    LEASE = "lease"


_ENDS: dict[str, dict[Kind, str]] = {
    "curator": {
        Kind.LOCK: "-lock-",
        Kind.READ: "-__READ__",
        Kind.WRITE: "-__WRIT__",
        Kind.GATE: "-lock-",
        Kind.LEASE: "-lease-",
    },
    "kazoo": {Kind.LOCK: "__lock__", Kind.READ: "__rlock__", Kind.WRITE: "__lock__"},
}


class Name(NamedTuple):
    """The name of a place, but for its number.

    Attributes:
        token: begins this name and no other.
        text: the name.
    """

    token: str
    text: str


def check_layout(layout: object) -> None:
    """Raise ValueError if there is no such layout."""
    if layout not in _ENDS:
        raise ValueError(f"layout must be 'curator' or 'kazoo': got {layout!r:.80}")


def new_name(kind: Kind, layout: Layout) -> Name:
    """Return a name that no other place has."""
    token = uuid.uuid4().hex if layout == "kazoo" else f"_c_{uuid.uuid4()}"
    return Name(token, token + _ENDS[layout][kind])


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names that take part, the first one first."""
    numbers = {name: int(match[1]) for name in names if (match := _NUMBER.search(name))}
    if not numbers:
        return []
    some = next(iter(numbers.values()))
    return sorted(numbers, key=lambda name: ((numbers[name] - some + _CIRCLE // 2) % _CIRCLE, name))


def number_of(name: str) -> int | None:
    """Return the number of a place; None if it takes no part. It says nothing about fences."""
    match = _NUMBER.search(name)
    return None if match is None else int(match[1])


def is_reader(name: str) -> bool:
    """True for the place of a reader, of any layout."""
    return _READER.search(name) is not None


def that_count(kind: Kind, queue: Iterable[str], own: str) -> list[str]:
    """Return the names of a queue that count for the place `own`: a reader stands behind writers only."""
    return [name for name in queue if kind is not Kind.READ or name == own or not is_reader(name)]


def holding(queue: list[str]) -> int:
    """Return how many of a queue hold the lock: the readers before the first writer, or the first one."""
    readers = next((index for index, name in enumerate(queue) if not is_reader(name)), len(queue))
    return max(readers, min(1, len(queue)))
