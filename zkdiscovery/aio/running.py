"""The task that runs this, on its loop or on a thread that closes the client for it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

closing_task: ContextVar[asyncio.Task[Any] | None] = ContextVar("closing_task", default=None)
"""The task for which a thread closes the client."""


def running_task() -> asyncio.Task[Any] | None:
    """Return the task that runs this; on a thread that closes the client, the task for which it does."""
    try:
        return asyncio.current_task() or closing_task.get()
    except RuntimeError:  # no loop runs here
        return closing_task.get()
