"""Documents that a static client keeps in memory, and configurations that follow them at once.

Threads: whoever stores a revision runs the models of all who read it. Callbacks run on the thread of callbacks.
"""

from __future__ import annotations

import copy
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from zkdiscovery.config import ConfigDocument, ConfigReader, ConfigRevision, Configs, ConfigStores
from zkdiscovery.config.commit import Edit, conflict
from zkdiscovery.config.configs import Followed, Following
from zkdiscovery.config.documents import decode_document, encode_document
from zkdiscovery.config.fetching import NONE, Fetched
from zkdiscovery.config.layout import Layout
from zkdiscovery.config.pointer import Pointer
from zkdiscovery.config.statuses import decode_status
from zkdiscovery.config.stores import missing
from zkdiscovery.errors import InvalidSettings, ZkDiscoveryError
from zkdiscovery.znodes import BaseHold, Paths

GENERATION = 1  # the number of the one connection


class Documents:
    """The documents of one client; they outlive its cores."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # held while readers take a revision, so that none overtakes another
        self._revisions: dict[str, list[ConfigDocument]] = {}  # by name; revision 1 comes first
        self._readers: list[_Reader] = []

    def names(self) -> list[str]:
        """Names of all documents, sorted."""
        return sorted(self._revisions)

    def history(self, name: str) -> list[ConfigDocument]:
        """Return the revisions of a document, the oldest first."""
        return list(self._revisions.get(name, ()))

    def latest(self, names: Sequence[str]) -> list[Fetched]:
        """Return the documents in force, all of one moment."""
        with self._lock:
            return [self._latest(name) for name in names]

    def _latest(self, name: str) -> Fetched:
        revisions = self._revisions.get(name)
        return Fetched(name, len(revisions), revisions[-1].values) if revisions else Fetched(name, NONE, {})

    def store(self, edits: Sequence[Edit], author: str) -> dict[str, int]:
        """Store new revisions, all of them or none; return their numbers. Raises NodeChanged."""
        with self._lock:
            for edit in edits:
                present = self._latest(edit.layout.name).number
                if edit.base is not None and edit.base != present:
                    raise conflict(edit.layout, edit.base, present)
            stored: dict[str, int] = {}
            for edit in edits:
                name = edit.layout.name
                number = stored[name] = self._latest(name).number + 1
                revision = ConfigRevision(
                    number, time.time(), edit.message, author, False, len(edit.data), edit.restores
                )
                document = ConfigDocument(name, revision, decode_document(edit.data_of(number)))
                self._revisions.setdefault(name, []).append(document)
            for reader in list(self._readers):
                if stored.keys() & reader.names:
                    reader.tell(self)
            return stored

    def follow(self, reader: _Reader) -> None:
        """Tell a reader of what is in force, and of each change."""
        with self._lock:
            self._readers.append(reader)
            reader.tell(self)

    def leave(self, reader: _Reader) -> None:
        """Tell it of nothing more."""
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)

    def statuses(self, name: str) -> list[ConfigReader]:
        """Return what the readers of a document say."""
        with self._lock:
            targets = [target for reader in self._readers if (target := reader.target()) is not None]
            statuses = [decode_status(target.status()) for target in targets]
        found = [reading for status in statuses if (reading := status.reading(name)) is not None]
        return sorted(found, key=lambda reading: (reading.id, reading.config))


class _Reader:
    """In the place of a `Follower`."""

    def __init__(self, names: Sequence[str], target: Followed, documents: Documents) -> None:
        self.names = list(names)
        self.target = weakref.ref(target)
        self.error: ZkDiscoveryError | None = None
        self._documents = documents
        self._closed = False

    def is_fresh(self, generation: int) -> bool:
        return generation == GENERATION and not self._closed

    def tell(self, documents: Documents) -> None:
        """Let the configuration take what is in force."""
        target = self.target()
        if target is None:
            self.close()
        else:
            target.take(documents.latest(self.names), GENERATION)

    def close(self) -> None:
        self._closed = True
        self._documents.leave(self)


class WithDocuments(Protocol):
    """The core of a static client."""

    documents: Documents


class KeptStores(ConfigStores):
    """Stores of these."""

    @property
    def _documents(self) -> Documents:
        return cast("WithDocuments", self.core).documents

    def names(self, timeout: float) -> list[str]:  # noqa: ARG002 - as of all these: it is there at once
        return self._documents.names()

    def latest(self, names: Sequence[str], timeout: float) -> dict[str, Fetched]:  # noqa: ARG002
        return {fetched.name: fetched for fetched in self._documents.latest(names)}

    def read(self, name: str, number: int | None, timeout: float) -> ConfigDocument:  # noqa: ARG002
        revisions = self._documents.history(name)
        wanted = len(revisions) if number is None else number
        if not 1 <= wanted <= len(revisions):
            raise missing(self.layout(name), number)
        return copy.deepcopy(revisions[wanted - 1])

    def history(self, name: str, timeout: float) -> list[ConfigRevision]:  # noqa: ARG002
        return [document.revision for document in reversed(self._documents.history(name))]

    def readers(self, name: str, timeout: float) -> list[ConfigReader]:  # noqa: ARG002
        return self._documents.statuses(name)

    def commit(
        self,
        edits: Sequence[Edit],
        claimed: str,
        guard: BaseHold | None,
        timeout: float,  # noqa: ARG002
    ) -> Mapping[str, int]:
        if not all(edit.in_force for edit in edits):
            raise InvalidSettings("a static client has no rollouts, so each revision is in force at once")
        if guard is not None:
            guard.check()
        return self._documents.store(edits, claimed)


class KeptConfigs(Configs):
    """Configurations that follow these."""

    def follow(
        self,
        names: Sequence[str],
        choose: Callable[[Pointer], int],  # noqa: ARG002 - no rollout
        title: str,  # noqa: ARG002
        target: Followed,
    ) -> Following:
        self.note(target)
        documents = cast("WithDocuments", self.core).documents
        reader = _Reader(names, target, documents)
        documents.follow(reader)
        return reader


def set_document(documents: Documents, name: str, values: dict[str, Any]) -> None:
    """Store a revision that a test sets.

    Raises:
        InvalidName: no name for a document.
        InvalidDocument: the document can't be stored.
    """
    layout = Layout(name, Paths("").document(name))
    documents.store([Edit(layout, encode_document(values, layout.title), "set in a test")], "test")
