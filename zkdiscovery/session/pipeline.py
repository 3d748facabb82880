"""Send many reads at once, and never more than a small server can answer.

A server makes each answer in memory, and copies it several times. A long answer delays all later ones, those to lease
renewals and pings among them. The size of an answer is known only when it comes. So at first `START` answers are under
way; then their number grows with the number of answers seen, and is bounded by their mean size.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import accumulate
from typing import Any, Generic, NamedTuple, TypeVar

from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session.requester import Requester
from zkdiscovery.session.requests import Request
from zkdiscovery.session.translate import BROKEN

START = 4  # answers of unknown size under way
GROWTH = 8  # answers under way for each that was seen
ANSWER = 512 * 1024  # bytes in one answer, about
IN_FLIGHT = 4 * ANSWER  # bytes of all answers under way, about
MANY = 2000  # requests of one kind under way, at most: others wait behind them, and a channel's queue has a limit
PATH = 13  # bytes around a path in a request
OVERHEAD = 100  # bytes of an answer beside its text or data: a stat, headers

R = TypeVar("R", bound=Request)


class ReadLimits(NamedTuple):
    """The connection and the time limits of reads.

    Attributes:
        generation: the connection.
        deadline: monotonic seconds.
        patience: seconds. While bytes come, the deadline is at least this long after the last ones.
    """

    generation: int
    deadline: float
    patience: float = 0.0


class Pace:
    """The number of answers of one kind that may be under way.

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
        """The number of further answers that may be under way, whatever their size is."""
        return max(START, GROWTH * self.seen) - self.flying

    def saw(self, count: int, size: int) -> None:
        """Note that `count` answers came, of `size` bytes together."""
        self.flying -= count
        self.seen += count
        self.bytes += size + count * OVERHEAD


class Line(Generic[R]):
    """Requests under way, answered in order. The end of its `with` block withdraws those that are not sent yet."""

    def __init__(self, session: Requester, limits: ReadLimits) -> None:
        self.flying: deque[tuple[R, Future[Any]]] = deque()
        self._session = session
        self._generation, self._deadline, self._patience = limits
        # With patience a request may wait unsent behind slow answers; the one who waits for it withdraws it in time.
        self._unsent = math.inf if limits.patience else limits.deadline

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        for _, future in self.flying:
            future.cancel()

    def send(self, request: R) -> None:
        """Send a request; never waits."""
        sent = self._session.submit(request, deadline=self._unsent, generation=self._generation)
        self.flying.append((request, sent))

    def answer(self) -> tuple[R, Any]:
        """Wait for the oldest request. Returns it with its answer, or with the error that the server answered.

        Raises:
            NotConnected: the connection ended.
            OperationTimeout: the answer did not come in time.
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
    """Split paths into parts for one request each, of at most `most` paths and about `most_bytes`, but at least one."""
    while paths:
        part = paths[:most]
        if sum(map(len, part)) * 4 > most_bytes:  # a character takes 4 bytes of UTF-8 at most
            ends = accumulate(len(path.encode()) + PATH for path in part)
            part = part[: max(1, sum(end <= most_bytes for end in ends))]
        yield part
        paths = paths[len(part) :]


def pipelined(
    session: Requester, requests: Sequence[R], limits: ReadLimits, size: float | None = None
) -> Iterator[tuple[R, Any]]:
    """Yield each request with its answer, or with the error that the server answered; the suspects last (care.py).

    Args:
        session: sends the requests.
        requests: reads of lists or of stats.
        limits: see there.
        size: bytes of an answer; None: unknown, so that few are under way at first.

    Raises:
        NotConnected: the connection ended.
        OperationTimeout: an answer did not come in time.
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
