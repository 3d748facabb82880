"""Requests that may have broken connections, and how they are changed before they are sent again.

A request breaks the connection, or the server, if it or its answer is too large for the server. If it were sent again
unchanged on each new connection, that would never end. Every request that was sent and not answered when a connection
broke is a suspect, because answers that the server sent may be lost with the connection. Most often the cause is the
network and not the request, so a suspect is changed rather than refused:

- A bulk read is halved until each node is read alone; `bulk.py` reads the sizes of such nodes first.
- Batches of writes are made half as large if one of writes is a suspect, and batches of watches if one of watches is.
- A request that can't be changed is sent alone, after the others. After `TRIES` breaks it is refused for a while, then
  tried once more: see `PAUSES`.

Any answer to a suspect clears it. Small requests with small answers are never suspects.

Threads: the connection thread calls `broke` and `answered`, and so does the thread that closes the session. The other
methods, on any thread, read single entries of tables, which needs no lock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from zkdiscovery.errors import NodeError
from zkdiscovery.session.requests import GetChildren, GetData, MultiRead, Request, encode
from zkdiscovery.session.translate import describe, path_of

REQUEST = 512 * 1024  # bytes of one request, about; a server refuses requests over 1 MiB, unless configured
SMALL = 8 * 1024  # bytes; a request up to this size breaks no connection by its size
TRIES = 3  # times that a request may break a connection before it is refused
# Seconds that it is refused: at first, and at most; three times as long after each further break. The first pause is
# short, because a server that steps down also breaks three connections within a second, whatever was asked for.
PAUSES = (1.0, 600.0)
FORGOTTEN = 600.0  # seconds after which batches are as large as before
MOST = 10_000  # suspects remembered; the oldest are forgotten first


class _Offence(NamedTuple):
    """The breaks that a request which can't be changed may have caused."""

    times: int
    until: float  # monotonic seconds; refused until then


class Care:
    """The suspects of one session."""

    def __init__(self) -> None:
        self._nodes: dict[str, int] = {}  # by path: most nodes in a bulk read that includes this one
        self._offences: dict[int, _Offence] = {}  # by the hash of the request's bytes
        self._halved: dict[type[Request], tuple[int, float]] = {}  # bytes of one request; when, in monotonic seconds

    def most_bytes(self, kind: type[Request]) -> int:
        """The most bytes that a request of this kind, which has several parts, should have."""
        size, when = self._halved.get(kind, (REQUEST, -FORGOTTEN))
        return size if time.monotonic() < when + FORGOTTEN else REQUEST

    def most_together(self, path: str) -> int | None:
        """The most nodes in a bulk read that includes this one; None if it is no suspect."""
        return self._nodes.get(path)

    @property
    def suspects_nodes(self) -> bool:
        """True if any node is a suspect."""
        return bool(self._nodes)

    def refusal(self, request: Request, body: bytes) -> NodeError | None:
        """The error for a request that must not be sent now; None if it may be sent."""
        if not self._offences:
            return None
        offence = self._offences.get(hash(body))
        if offence is None or time.monotonic() >= offence.until:
            return None
        return NodeError(
            f"{describe(request)}: not asked for, because the connection broke {offence.times} times before the answer;"
            f" tried again in {max(1.0, offence.until - time.monotonic()):.0f} s",
            path=path_of(request),
        )

    def suspects(self, request: Request) -> bool:
        """True if the request must be sent alone, after the others."""
        return bool(self._offences) and hash(encode(request)) in self._offences

    def broke(self, unanswered: Sequence[tuple[Request, bytes]]) -> None:
        """Note the requests that had been sent and not answered when the connection ended."""
        for request, body in unanswered:
            if isinstance(request, MultiRead):
                self._nodes.update(dict.fromkeys(request.paths, max(1, len(request.paths) // 2)))
                if len(request.paths) == 1:
                    self._offended(body)
            elif isinstance(request, (GetChildren, GetData)) or len(body) > SMALL:
                self._offended(body)
        _shorten(self._nodes)
        _shorten(self._offences)
        largest: dict[type[Request], int] = {}
        for request, body in unanswered:
            if not isinstance(request, MultiRead):  # halved above, whatever the size of the request
                largest[type(request)] = max(len(body), largest.get(type(request), 0))
        for kind, size in largest.items():
            if size > SMALL:
                self._halved[kind] = max(SMALL, min(self.most_bytes(kind), size) // 2), time.monotonic()

    def _offended(self, body: bytes) -> None:
        first, longest = PAUSES
        known = self._offences.pop(hash(body), None)
        times = 1 if known is None else known.times + 1
        pause = 0.0 if times < TRIES else min(longest, first * 3.0 ** min(times - TRIES, 10))
        self._offences[hash(body)] = _Offence(times, time.monotonic() + pause)

    def answered(self, request: Request, body: bytes) -> None:
        """Clear a request, because it was answered."""
        if self._offences:
            self._offences.pop(hash(body), None)
        if self._nodes and isinstance(request, MultiRead):
            for path in request.paths:
                self._nodes.pop(path, None)


def _shorten(table: dict[str, int] | dict[int, _Offence]) -> None:
    while len(table) > MOST:
        del table[next(iter(table))]  # type: ignore[arg-type]
