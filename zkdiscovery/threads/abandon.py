"""Tell work that runs on a thread that nobody waits for it any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from contextvars import ContextVar

_abandoned: ContextVar[threading.Event | None] = ContextVar("abandoned", default=None)


@contextmanager
def abandoned_when(event: threading.Event) -> Iterator[None]:
    """Let `check_wanted` raise in the block, on this thread, once the event is set."""
    token = _abandoned.set(event)
    try:
        yield
    finally:
        _abandoned.reset(token)


def check_wanted() -> None:
    """Go on only if somebody waits for this work.

    Raises:
        CancelledError: nobody does.
    """
    event = _abandoned.get()
    if event is not None and event.is_set():
        raise CancelledError
