"""Read many nodes in few requests.

An answer that is long in coming holds up all that come after it, lease renewals and pings among them. So a request asks
for as many nodes as make an answer of `ANSWER` bytes, by the size of those read last.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from zkdiscovery.errors import OperationTimeout
from zkdiscovery.session.requests import MultiRead, Node

if TYPE_CHECKING:
    from zkdiscovery.session.session import Session

BATCH = 500  # nodes in one request, at most
ANSWER = 512 * 1024  # bytes of data in one answer, about
REQUEST = 512 * 1024  # bytes of paths in one request, about; the server refuses requests over 1 MiB
WINDOW = 4  # requests in flight


def bulk_read(
    session: Session, paths: Sequence[str], *, generation: int, deadline: float, patience: float = 0.0
) -> Iterator[tuple[str, Node | int]]:
    """Yield each path with its node or the server's error code (e.g. `translate.NO_NODE`), in order.

    Not an atomic snapshot: nodes may change between two requests.

    Args:
        session: where to read.
        paths: the nodes.
        generation: the connection to read on.
        deadline: monotonic seconds.
        patience: seconds; while bytes come, the deadline is this time after the last ones, or stays if it is later.

    Raises:
        NotConnected, OperationTimeout: this connection ended, or an answer did not come in time.
    """
    asked = 0
    flying: deque[tuple[MultiRead, Future[Any]]] = deque()
    try:
        while asked < len(paths) or flying:
            while asked < len(paths) and len(flying) < WINDOW:
                request = MultiRead(_first(paths[asked : asked + session.bulk_size]))
                asked += len(request.paths)
                # With patience it may wait unsent behind slow answers; who waits for it withdraws it in time.
                unsent = math.inf if patience else deadline
                flying.append((request, session.submit(request, deadline=unsent, generation=generation)))
            request, future = flying.popleft()
            try:
                found = session.result(future, request, deadline, patience)
            except OperationTimeout:
                session.bulk_size = max(1, len(request.paths) // 2)
                raise
            session.bulk_size = _fitting(found)
            deadline = max(deadline, time.monotonic() + patience)
            yield from zip(request.paths, found, strict=True)
    finally:
        for _, future in flying:  # nobody waits for them any more
            future.cancel()


def _first(paths: Sequence[str]) -> Sequence[str]:
    """As many of them as go into one request; others may have made nodes of very long names."""
    if sum(map(len, paths)) * 4 <= REQUEST:  # a character takes 4 bytes of UTF-8 at most
        return paths
    ends = accumulate(len(path.encode()) + 13 for path in paths)  # with what stands around it
    return paths[: max(1, sum(end <= REQUEST for end in ends))]


def _fitting(found: Sequence[Node | int]) -> int:
    """How many nodes such as these make a good answer."""
    size = sum(len(node.data) for node in found if isinstance(node, Node))
    return max(1, min(BATCH, ANSWER * len(found) // max(1, size)))
