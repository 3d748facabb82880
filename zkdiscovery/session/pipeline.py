"""Ask many things at once, and never more than a small server can answer.

A server puts each answer together in memory, several times over, and an answer that is long in coming holds up all
that come after it, lease renewals and pings among them. How large an answer is shows only when it comes. So asking
begins with `START` answers, grows with the number of those seen, and is bounded by their mean size.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session.requests import Request
from zkdiscovery.session.translate import BROKEN

if TYPE_CHECKING:
    from zkdiscovery.session.session import Session

START = 4  # answers of unknown size under way
GROWTH = 8  # answers under way for each that was seen
ANSWER = 512 * 1024  # bytes in one answer, about
IN_FLIGHT = 4 * ANSWER  # bytes of all answers under way, about
MANY = 2000  # requests of one kind under way, however small; others wait behind them, and their number has a limit
PATH = 13  # bytes that stand around a path in a request
OVERHEAD = 100  # bytes of an answer beside its text or data: a stat, headers

R = TypeVar("R", bound=Request)


class ReadLimits(NamedTuple):
    """Where and until when to ask.

    Attributes:
        generation: the connection.
        deadline: monotonic seconds.
        patience: seconds; while bytes come, the deadline is this time after the last ones, or stays if it is later.
    """

    generation: int
    deadline: float
    patience: float = 0.0


class Pace:
    """How many answers of one kind may be under way.

    Args:
        seen: answers of the kind that are known already, and
        size: their mean size in bytes.
    """

    def __init__(self, seen: int = 0, size: float = 0.0) -> None:
        self.seen = seen
        self.bytes = seen * (size + OVERHEAD)
        self.flying = 0

    @property
    def size(self) -> float:
        """Mean bytes of an answer; 0.0 if none was seen."""
        return self.bytes / self.seen if self.seen else 0.0

    @property
    def room(self) -> int:
        """How many more may be asked for, whatever their size is."""
        return max(START, GROWTH * self.seen) - self.flying

    def saw(self, count: int, size: int) -> None:
        """So many answers came, of so many bytes."""
        self.flying -= count
        self.seen += count
        self.bytes += size + count * OVERHEAD


class Line(Generic[R]):
    """Requests under way, answered in order. At its end those that nobody waits for any more are withdrawn."""

    def __init__(self, session: Session, limits: ReadLimits) -> None:
        self.flying: deque[tuple[R, Future[Any]]] = deque()
        self._session = session
        self._generation, self._deadline, self._patience = limits
        # With patience it may wait unsent behind slow answers; who waits for it withdraws it in time.
        self._unsent = math.inf if limits.patience else limits.deadline

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        for _, future in self.flying:
            future.cancel()

    def send(self, request: R) -> None:
        """Ask; never waits."""
        sent = self._session.submit(request, deadline=self._unsent, generation=self._generation)
        self.flying.append((request, sent))

    def answer(self) -> tuple[R, Any]:
        """The oldest request with its answer, or with the error by which it is refused.

        Raises:
            NotConnected, OperationTimeout: the connection ended, or the answer did not come in time.
        """
        request, future = self.flying.popleft()
        try:
            answer = self._session.result(future, request, self._deadline, self._patience)
        except BROKEN:
            raise
        except ZkDiscoveryError as error:
            answer = error
        self._deadline = max(self._deadline, time.monotonic() + self._patience)
        return request, answer


def fitting(paths: Sequence[str], most: int, most_bytes: int) -> Iterator[Sequence[str]]:
    """Paths in parts for one request each: of so many paths, and about so many bytes, but of one path at least."""
    while paths:
        part = paths[:most]
        if sum(map(len, part)) * 4 > most_bytes:  # a character takes 4 bytes of UTF-8 at most
            ends = accumulate(len(path.encode()) + PATH for path in part)
            part = part[: max(1, sum(end <= most_bytes for end in ends))]
        yield part
        paths = paths[len(part) :]


def pipelined(
    session: Session, requests: Sequence[R], limits: ReadLimits, size: float | None = None
) -> Iterator[tuple[R, Any]]:
    """Yield each request with its answer, or with the error by which it is refused; the suspects last (care.py).

    Args:
        session: where to ask.
        requests: what to ask: for lists or for stats.
        limits: see there.
        size: bytes of an answer; None: unknown, so that asking begins slowly.

    Raises:
        NotConnected, OperationTimeout: the connection ended, or an answer did not come in time.
    """
    pace = Pace() if size is None else Pace(len(requests), size)
    line: Line[R] = Line(session, limits)
    suspects = set(filter(session.care.suspects, requests))
    waiting = deque(sorted(requests, key=suspects.__contains__))
    with line:
        while waiting or line.flying:
            while waiting and (
                not pace.flying
                or (
                    pace.flying < MANY
                    and pace.room > 0
                    and pace.flying * pace.size < IN_FLIGHT
                    and waiting[0] not in suspects
                )
            ):
                pace.flying += 1
                line.send(waiting.popleft())
            request, answer = line.answer()
            pace.saw(1, sum(map(len, answer)) + 4 * len(answer) if isinstance(answer, list) else 0)
            yield request, answer
