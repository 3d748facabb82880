"""What a reader of documents tells its users: changes and refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Generic, TypeVar

from zkdiscovery.config.documents import Document
from zkdiscovery.config.merging import differences

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class ConfigChange(Generic[M]):
    """A change of a configuration.

    Attributes:
        before: the value; None: there was none yet.
        after: the value.
        keys: those that differ, with dots between the levels.
    """

    before: M | None
    after: M
    keys: frozenset[str]
    _documents: tuple[Document, Document] = field(repr=False, compare=False)

    def then(self, later: ConfigChange[M]) -> ConfigChange[M]:
        """Merge this with the change that follows it."""
        return changed(self.before, later.after, self._documents[0], later._documents[1])

    @property
    def empty(self) -> bool:
        """True if nothing differs, because the second of two changes has taken back the first."""
        return not self.keys and self.before is not None


def changed(before: M | None, after: M, old: Document, new: Document) -> ConfigChange[M]:
    """Return the change from one value, made of one document, to another."""
    return ConfigChange(before, after, frozenset(change.key for change in differences(old, new)), (old, new))


def unless_empty(fn: Callable[[ConfigChange[M]], object]) -> Callable[[ConfigChange[M]], object]:
    """Return what calls `fn` with each change in which something differs."""

    @wraps(fn, updated=())
    def call(change: ConfigChange[M]) -> object:
        return None if change.empty else fn(change)

    return call


@dataclass(frozen=True, slots=True)
class ConfigRejection:
    """Revisions that are stored, but not in force, because the model refuses them.

    Attributes:
        revisions: by document.
        reason: what the model says, without the values.
    """

    revisions: Mapping[str, int]
    reason: str


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Where the value of a key comes from.

    Attributes:
        document: its name.
        revision: of the document.
    """

    document: str
    revision: int
