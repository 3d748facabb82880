"""The status of a reader: an ephemeral that says which revisions it has, and which ones it refuses and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from zkdiscovery.config.change import ConfigRejection
from zkdiscovery.errors import UndecodableNode
from zkdiscovery.lifecycle import MAX_ID

REASON = 500  # characters


@dataclass(frozen=True, slots=True)
class ConfigReader:
    """A process that reads a document.

    Attributes:
        id: what it calls itself, `<hostname>:<pid>:<start>` unless it was told otherwise.
        config: the name of its configuration.
        revision: of the document, that it has in force; 0: none.
        rejected: the revision of the document that its model refuses, as a part of what it reads; None: none.
        reason: why its model refuses what is stored; None: it does not.
    """

    id: str
    config: str
    revision: int
    rejected: int | None = None
    reason: str | None = None


class Status(NamedTuple):
    """What a reader says.

    Attributes:
        id: what it calls itself.
        config: the name of its configuration.
        revisions: in force, by document.
        rejected: by document, what its model refuses.
        reason: why.
    """

    id: str
    config: str
    revisions: Mapping[str, int]
    rejected: Mapping[str, int]
    reason: str | None

    def reading(self, document: str) -> ConfigReader | None:
        """Return what it says of one document; None: it does not read it."""
        if document not in self.revisions and document not in self.rejected:
            return None
        revision, rejected = self.revisions.get(document, 0), self.rejected.get(document)
        return ConfigReader(self.id, self.config, revision, rejected, self.reason)


def encode_status(id: str, config: str, revisions: Mapping[str, int], rejection: ConfigRejection | None) -> bytes:
    """Return the data of a reader's node."""
    rejected = {} if rejection is None else dict(rejection.revisions)
    reason = None if rejection is None else rejection.reason[:REASON]
    return json.dumps(Status(id, config, dict(revisions), rejected, reason)._asdict(), separators=(",", ":")).encode()


def decode_status(data: bytes) -> Status:
    """Return what a reader says. The data is untrusted. Raises UndecodableNode."""
    try:
        found = json.loads(data)
        texts = [found[name] for name in ("id", "config")]
        if not all(isinstance(text, str) and text.isprintable() for text in texts):
            raise ValueError("id or config")
        reason = found["reason"]
        if reason is not None:
            reason = "".join(character if character.isprintable() else " " for character in str(reason)[:REASON])
        revisions, rejected = _numbers(found["revisions"]), _numbers(found["rejected"])
        return Status(texts[0][:MAX_ID], texts[1][:MAX_ID], revisions, rejected, reason)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UndecodableNode(f"it is no reader of documents: {error!r:.200}") from None


def _numbers(found: Any) -> dict[str, int]:
    if not all(isinstance(number, int) for number in found.values()):
        raise ValueError("revisions")
    return {str(name): number for name, number in found.items()}
