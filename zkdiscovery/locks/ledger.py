"""The ledger of a counter: the last change of each client, which tells after a lost answer whether a change was made.

It is a child of the counter's node, written in the same transaction. It has one line for each client,
`<client> <number>`, where the number is that of the client's last change. The client that changed the counter last
comes last, and the first line goes when there are more than `MOST`.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from zkdiscovery.errors import UndecodableNode

MOST = 100  # clients

_LINE = re.compile(r"([0-9a-f]{16}) ([0-9]{1,18})")


class Mark(NamedTuple):
    """One change of one client.

    Attributes:
        client: 16 hexadecimal digits.
        number: of the change; each client counts its own.
    """

    client: str
    number: int


Ledger: TypeAlias = tuple[Mark, ...]


def ledger_path(path: str) -> str:
    """Return the path of the ledger of the counter at `path`."""
    return f"{path}/ledger"


def encode(ledger: Ledger) -> bytes:
    """Return the data of a ledger's node."""
    return "\n".join(f"{client} {number}" for client, number in ledger).encode()


def decode(path: str, data: bytes) -> Ledger:
    """Return the ledger that a node holds. Raises UndecodableNode."""
    matches = [_LINE.fullmatch(line) for line in data.decode(errors="replace").splitlines()]
    marks = tuple(Mark(match[1], int(match[2])) for match in matches if match)
    if len(marks) < len(matches):
        raise UndecodableNode(f"{path} holds no ledger of a counter: {data[:40]!r}; delete it", path=path)
    return marks


def with_mark(ledger: Ledger, mark: Mark) -> Ledger:
    """Return the ledger after one more change."""
    return (*(other for other in ledger if other.client != mark.client), mark)[-MOST:]


def was_made(mark: Mark, before: Ledger, now: Ledger) -> bool | None:
    """Tell whether a change was made.

    Args:
        mark: the change, which is the last one that its client tried.
        before: the ledger when it was tried.
        now: the ledger after all that was written before.

    Returns:
        None if nobody can tell, because `MOST` other clients have changed the counter since.
    """
    if mark in now:
        return True
    # Lines go in order: while one of those before the change is there, that of the change would be there as well.
    if len(now) < MOST or not set(before).isdisjoint(now):
        return False
    return None
