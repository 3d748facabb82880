"""Read many nodes in few requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from zkdiscovery.session.requests import MultiRead, Node

if TYPE_CHECKING:
    from zkdiscovery.session.session import Session

BATCH = 500  # nodes in one request
WINDOW = 4  # requests in flight


def bulk_read(
    session: Session, paths: Sequence[str], *, generation: int, deadline: float
) -> Iterator[tuple[str, Node | int]]:
    """Yield each path with its node or the server's error code (e.g. `translate.NO_NODE`), in order.

    Not an atomic snapshot: nodes may change between two requests. `deadline` in monotonic seconds.

    Raises:
        NotConnected, OperationTimeout: this connection ended, or an answer did not come in time.
    """
    batches = deque(MultiRead(paths[start : start + BATCH]) for start in range(0, len(paths), BATCH))
    flying: deque[tuple[MultiRead, Future[Any]]] = deque()
    while batches or flying:
        while batches and len(flying) < WINDOW:
            request = batches.popleft()
            flying.append((request, session.submit(request, deadline=deadline, generation=generation)))
        request, future = flying.popleft()
        yield from zip(request.paths, session.result(future, request, deadline), strict=True)
