"""Edits of documents: what a `with` block begins with, and what is stored at its end."""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Sequence
from typing import Any

from zkdiscovery.config.commit import Edit, conflict
from zkdiscovery.config.documents import Document, encode_document
from zkdiscovery.config.encrypted import encoder, open_document
from zkdiscovery.config.keyring import Keyring
from zkdiscovery.config.revisions import MESSAGE
from zkdiscovery.config.stores import ConfigStores
from zkdiscovery.core import Core
from zkdiscovery.errors import InvalidSettings
from zkdiscovery.locks import check_guard
from zkdiscovery.validation import check_nonempty, check_timeout, check_whole
from zkdiscovery.znodes import BaseHold, Paths


class Draft(dict[str, Any]):
    """A document to be edited: a plain dict, in the `with` block of `edit`.

    Attributes:
        base: the revision that it was made from; 0: there was no such document.
        revision: the revision that has its content, after the block; that is `base` if the block changed nothing.
    """

    def __init__(self, values: Document, base: int) -> None:
        super().__init__(copy.deepcopy(values))
        self.base = base
        self.revision = base


class Editing:
    """One edit of one or more documents. Its methods block.

    Args:
        core: of the client.
        names: of the documents.
        message: why.
        claimed: who writes, if ZooKeeper does not know it.
        guard: write only while this hold lasts.
        keys: encrypt values.
        timeout: seconds for each of the two halves.
        in_force: False: store the revision for a rollout.

    Raises:
        InvalidSettings: no message, a name that comes twice, or no timeout.
        TypeError: `guard` is no hold.
    """

    def __init__(
        self,
        core: Core,
        names: Sequence[str],
        message: str,
        claimed: str,
        guard: BaseHold | None,
        keys: Keyring | None,
        timeout: float | None,
        *,
        in_force: bool = True,
    ) -> None:
        self._stores = core.feature(ConfigStores)
        self._names = check_documents(names)
        self._message = check_message(message)
        self._claimed = claimed
        self._guard = check_guard(guard)
        self._keys = keys
        self._in_force = in_force
        self._timeout = check_timeout(timeout)
        self.drafts: dict[str, Draft] = {}
        self._before: dict[str, bytes] = {}

    def begin(self, expect: int | None = None) -> None:
        """Read the documents.

        Raises:
            NodeChanged: one is not at the revision `expect`.
            ZkDiscoveryError: as `ConfigStores.latest`.
        """
        expected = check_expected(expect)
        for name, fetched in self._stores.latest(self._names, self._timeout).items():
            if expected is not None and fetched.number != expected:
                raise conflict(self._stores.layout(name), expected, fetched.number)
            opened = open_document(fetched.document, self._stores.layout(name).root, self._keys)
            self.drafts[name] = Draft(opened, fetched.number)
            self._before[name] = encode_document(fetched.document, repr(name))

    def finish(self) -> None:
        """Store what has changed, in one transaction. Raises as `ConfigStores.commit`."""
        edits: list[Edit] = []
        for name, draft in self.drafts.items():
            layout = self._stores.layout(name)
            data, encrypt = encoder(dict(draft), layout.root, layout.title, self._keys)
            if data != self._before[name]:
                edits.append(Edit(layout, data, self._message, draft.base, encrypt=encrypt, in_force=self._in_force))
        if edits:
            for name, number in self._stores.commit(edits, self._claimed, self._guard, self._timeout).items():
                self.drafts[name].revision = number


def check_documents(names: Sequence[str]) -> list[str]:
    """Return the names of documents, each once.

    Raises:
        InvalidSettings: none, or one that comes twice.
        InvalidName: no name for a document.
    """
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise InvalidSettings(f"the documents must be a list of different names: got {names!r:.80}")
    for name in names:
        Paths("").document(name)
    return list(names)


def check_message(message: str) -> str:
    """Return a message. Raises InvalidSettings."""
    check_nonempty(message, "the message of a revision, which tells why,")
    if len(message) > MESSAGE:
        raise InvalidSettings(f"the message of a revision has at most {MESSAGE} characters: got {len(message)}")
    return message


def check_expected(expect: int | None) -> int | None:
    """Return the number of a revision, or None. Raises InvalidSettings."""
    if expect is not None:
        check_whole(expect, "the revision that is expected", 0)
    return expect


def claimed_author(author: str | None) -> str:
    """Return who claims to write: `<user>@<host>` if nobody says.

    Raises:
        InvalidSettings: it is no text.
    """
    if author is not None:
        check_nonempty(author, "the author")
        return author
    user = os.environ.get("LOGNAME") or os.environ.get("USER") or (str(os.getuid()) if hasattr(os, "getuid") else "?")
    return f"{user}@{socket.gethostname()}"
