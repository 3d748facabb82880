"""The record of a revision, as its node holds it: written once, never changed.

    {"message": "slow bank", "author": "digest:ann", "authenticated": true, "restores": null, "nonce": "5f…",
     "size": 31, "document": {"timeout": 3}}

A document of more than `INLINE` bytes has `"pieces": ["<hash>", …]` in place of `"document"`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NamedTuple

from zkdiscovery.config.documents import LARGEST, Document, checked
from zkdiscovery.config.pieces import LEAST, cut, name_of_piece
from zkdiscovery.errors import UndecodableNode
from zkdiscovery.session import Stat

INLINE = 16 * 1024  # bytes; a larger document is stored in pieces
MESSAGE = 1000  # characters

_PIECE = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class ConfigRevision:
    """One revision of a document, without its content.

    Attributes:
        number: from 1 on; each is larger than those before.
        time: when ZooKeeper stored it, in seconds since the epoch.
        message: why.
        author: who wrote it.
        authenticated: True: `author` is the user as whom the writer authenticated itself with ZooKeeper. False: it is
            what the writer has claimed.
        size: of the document, in bytes of JSON.
        restores: the revision that it has the content of; None: it is no rollback.
    """

    number: int
    time: float
    message: str
    author: str
    authenticated: bool
    size: int
    restores: int | None = None


class Author(NamedTuple):
    """Who writes.

    Attributes:
        name: of the user.
        authenticated: True: that ZooKeeper has checked; False: that was claimed.
    """

    name: str
    authenticated: bool


class Record(NamedTuple):
    """What the node of a revision holds.

    Attributes:
        message: why.
        author: who wrote it.
        authenticated: see `Author`.
        nonce: of the write, by which it finds out whether it was executed.
        size: of the document.
        restores: the revision that it has the content of.
        document: the document, if it is small.
        pieces: the names of its pieces, in order, if it is not.
    """

    message: str
    author: str
    authenticated: bool
    nonce: str
    size: int
    restores: int | None
    document: Document | None = None
    pieces: tuple[str, ...] = ()

    def described(self, number: int, stat: Stat) -> ConfigRevision:
        """Return what users see of it."""
        return ConfigRevision(
            number, stat.ctime / 1000, self.message, self.author, self.authenticated, self.size, self.restores
        )


def make_record(
    data: bytes, message: str, author: Author, nonce: str, restores: int | None
) -> tuple[bytes, dict[str, bytes]]:
    """Return the data of a revision's node, and the pieces of its document by name.

    Args:
        data: the document.
        message: why.
        author: who.
        nonce: of the write.
        restores: the revision that it has the content of.
    """
    fields = Record(message, author.name, author.authenticated, nonce, len(data), restores)._asdict()
    del fields["document"], fields["pieces"]
    head = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()[:-1]
    if len(data) <= INLINE:
        return b'%s,"document":%s}' % (head, data), {}
    pieces = [(name_of_piece(piece), piece) for piece in cut(data)]
    names = json.dumps([name for name, _ in pieces], separators=(",", ":")).encode()
    return b'%s,"pieces":%s}' % (head, names), dict(pieces)


def decode_record(data: bytes) -> Record:
    """Return the record of a revision. The data is untrusted. Raises UndecodableNode."""
    try:
        found = json.loads(data)
        record = Record(
            str(found["message"])[:MESSAGE], str(found["author"])[:MESSAGE], found["authenticated"] is True,
            str(found["nonce"]), int(found["size"]), found["restores"], None, tuple(found.get("pieces", ())),
        )  # fmt: skip
        if not all(map(_PIECE.fullmatch, record.pieces)):
            raise ValueError("pieces")
        if len(record.pieces) > 1 + LARGEST // LEAST or not isinstance(found["restores"], int | None):
            raise ValueError("pieces or restores")
        return record if record.pieces else record._replace(document=checked(found["document"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise UndecodableNode(f"it is no revision of a document: {error!r:.200}") from None
