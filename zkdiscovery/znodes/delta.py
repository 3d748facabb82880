"""Changes of the children of a path: the marks of events, one reading, and its delta."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
Key = tuple[int, int, int]  # czxid, mzxid, and mtime because a wiped ensemble gives the same ids again


class Marks(NamedTuple):
    """The events of a name since it was read last; monotonic seconds, 0.0 for never."""

    changed_at: float = 0.0
    deleted_at: float = 0.0
    there: bool = True  # as the last event left it
    created: bool = False  # another node than the one that was read last

    def then(self, later: Marks) -> Marks:
        """Merge these with what happened afterwards.

        The mark of a change stays when the node goes: if a node is written and deleted at once, only the order of
        events shows the write.
        """
        return Marks(
            max(self.changed_at, later.changed_at),
            max(self.deleted_at, later.deleted_at),
            later.there,
            self.created or later.created,
        )


@dataclass(slots=True)
class Delta(Generic[T]):
    """The changes of one flush.

    Attributes:
        changed: new value by name, for nodes that are new or different.
        removed: names that are gone, with what was seen of their end; None: found gone after a reconnect.
        rejected: reason by name for all nodes that can't be used now.
        reloaded: True for a full load, after which the set is in step with this connection.
    """

    changed: dict[str, T] = field(default_factory=dict)
    removed: dict[str, Marks | None] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    reloaded: bool = False


@dataclass(slots=True)
class Reading(Generic[T]):
    """The result of one reading, not in force yet.

    Attributes:
        present: all names that exist.
        keys: of the nodes that are new or different.
        values: what these hold, by name.
        refused: reason by name for those that can't be used.
        unread: names among the refused that the server did not let us read.
        bytes: of data, in all nodes that are present.
    """

    present: set[str] = field(default_factory=set)
    keys: dict[str, Key] = field(default_factory=dict)
    values: dict[str, T] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    bytes: int = 0
