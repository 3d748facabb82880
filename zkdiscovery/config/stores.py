"""The feature that reads and writes documents for the stores of one client.

Threads: any thread calls; a call blocks at most for its timeout. It holds nothing, so it works until the client closes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from zkdiscovery.config.commit import Commit, Edit
from zkdiscovery.config.documents import Document
from zkdiscovery.config.fetching import (
    NONE,
    Fetched,
    Fetcher,
    list_children,
    list_revisions,
    read_records,
    read_revisions,
)
from zkdiscovery.config.layout import Layout, layout_of
from zkdiscovery.config.pruning import is_due, prune
from zkdiscovery.config.revisions import Author, ConfigRevision
from zkdiscovery.config.statuses import ConfigReader, decode_status
from zkdiscovery.core import Feature
from zkdiscovery.errors import AccessDenied, NodeChanged, NodeError, NodeMissing, UndecodableNode, ZkDiscoveryError
from zkdiscovery.session import NO_NODE, Digest, Node, ReadLimits, Sync, bulk_read, why_unread
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import BaseHold

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.config")


@dataclass(frozen=True, slots=True)
class ConfigDocument:
    """One revision of a document.

    Attributes:
        name: of the document.
        revision: which one it is.
        values: its content.
    """

    name: str
    revision: ConfigRevision
    values: Document


class ConfigStores(Feature):
    """The documents, as the stores of one client read and write them."""

    def names(self, timeout: float) -> list[str]:
        """Names of all documents, sorted; one read."""
        return self.core.session.children(self.core.paths.documents(), timeout=timeout)

    def latest(self, names: Sequence[str], timeout: float) -> dict[str, Fetched]:
        """Return the stable revisions of several documents, all of one moment."""
        layouts = [layout_of(self.core.paths, name) for name in names]

        def once(deadline: float, generation: int) -> dict[str, Fetched]:
            self._sync(layouts[0], deadline, generation)
            fetcher = Fetcher(self.core.session, layouts, lambda pointer: pointer.stable)
            return {fetched.name: fetched for fetched in fetcher.fetch(ReadLimits(generation, deadline))}

        return self.core.session.retry(once, timeout)

    def read(self, name: str, number: int | None, timeout: float) -> ConfigDocument:
        """Return one revision; None: the stable one.

        Raises:
            NodeMissing: there is no such document, or no such revision.
            UndecodableNode: what is stored is no document.
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        layout = layout_of(self.core.paths, name)
        session, end = self.core.session, deadline_after(timeout)
        wanted = self.latest([name], timeout)[name].number if number is None else number

        def once(deadline: float, generation: int) -> ConfigDocument:
            limits = ReadLimits(generation, deadline)
            self._sync(layout, deadline, generation)
            (found,) = read_records(session, [(layout, wanted)], limits)
            if found is None:
                raise missing(layout, number)
            fetched = read_revisions(session, [(layout, wanted)], {}, limits)[name]
            return ConfigDocument(name, found[0].described(wanted, found[1]), fetched.document)

        if wanted == NONE:
            raise missing(layout, number)
        return session.retry(once, max(0.0, end - time.monotonic()))

    def history(self, name: str, timeout: float) -> list[ConfigRevision]:
        """Return all revisions that are kept, the newest first; none if there is no such document."""
        layout = layout_of(self.core.paths, name)
        session = self.core.session

        def once(deadline: float, generation: int) -> list[ConfigRevision]:
            self._sync(layout, deadline, generation)
            numbers = list_revisions(session, layout, generation, deadline)
            wanted = [(layout, number) for number in numbers]
            records = read_records(session, wanted, ReadLimits(generation, deadline))
            pairs = zip(numbers, records, strict=True)
            return [found[0].described(number, found[1]) for number, found in pairs if found is not None]

        return session.retry(once, timeout)

    def readers(self, name: str, timeout: float) -> list[ConfigReader]:
        """Return who reads a document, sorted by id; what can't be decoded or read is logged and left out."""
        session, parent = self.core.session, self.core.paths.config_readers()

        def once(deadline: float, generation: int) -> list[ConfigReader]:
            session.call(Sync(parent), deadline=deadline, generation=generation)
            paths = [f"{parent}/{child}" for child in list_children(session, parent, generation, deadline)]
            found: list[ConfigReader] = []
            with Digest(log, logging.WARNING, "left out %s: %s") as left_out:
                for path, node in bulk_read(session, paths, generation=generation, deadline=deadline):
                    try:
                        if isinstance(node, Node):
                            reader = decode_status(node.data).reading(name)
                            found += [] if reader is None else [reader]
                        elif node != NO_NODE:
                            raise why_unread(path, node, session.server)
                    except (UndecodableNode, NodeError, AccessDenied) as error:
                        left_out.add(path, str(error), repr(path))
            return found

        layout_of(self.core.paths, name)
        return sorted(session.retry(once, timeout), key=lambda reader: (reader.id, reader.config))

    def commit(self, edits: Sequence[Edit], claimed: str, guard: BaseHold | None, timeout: float) -> Mapping[str, int]:
        """Store new revisions of documents, all of them or none; return their numbers by document.

        Raises:
            NodeChanged: a document is not at the revision that an edit was made from; nothing was stored.
            HoldLost: the guard is over; nothing was stored.
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused. Nothing was
                stored, unless the error has `outcome_unknown`.
        """
        end = deadline_after(timeout)
        commit = Commit(self.core.session, edits, self._author(claimed), guard)
        try:
            numbers = self.core.session.retry(commit.once, timeout)
        except ZkDiscoveryError as error:
            if commit.in_doubt and not error.outcome_unknown:
                raise commit.doubtful(error) from error
            raise
        for edit, number in zip(edits, numbers, strict=True):
            if is_due(number):
                self._prune(edit.layout, end)
        return {edit.layout.name: number for edit, number in zip(edits, numbers, strict=True)}

    def layout(self, name: str) -> Layout:
        """Return the layout of a document. Raises InvalidName."""
        return layout_of(self.core.paths, name)

    def _author(self, claimed: str) -> Author:
        auth = self.core.settings.auth
        return Author(claimed, False) if auth is None else Author(f"{auth.scheme}:{auth.username}", True)

    def _sync(self, layout: Layout, deadline: float, generation: int) -> None:
        """Let the server catch up: whoever reads after a write sees it."""
        self.core.session.call(Sync(layout.root), deadline=deadline, generation=generation)

    def _prune(self, layout: Layout, deadline: float) -> None:
        try:
            prune(self.core.session, layout, self.core.session.generation, deadline)
        except NodeChanged:
            log.debug("%s was written while it was pruned; a later write prunes it", layout.title)
        except ZkDiscoveryError as error:
            log.warning("old revisions of %s were not pruned; a later write tries again: %s", layout.title, error)


def missing(layout: Layout, number: int | None) -> NodeMissing:
    """Make the error for a document or a revision that is not there."""
    if number is None:
        return NodeMissing(f"there is no {layout.title.removeprefix('the ')} in {layout.root}", path=layout.pointer)
    return NodeMissing(
        f"{layout.title} has no revision {number}: it was pruned, or never was", path=layout.revision(number)
    )
