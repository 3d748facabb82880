"""Calls of the SDK that a signal handler has interrupted. The main thread may hold any lock of ours then."""

from __future__ import annotations

import sys
import threading
from types import FrameType

_WITH_LOCKS = (
    "aio", "bridges", "client", "config", "core", "discovery", "election", "integrations", "lifecycle", "locks",
    "registration", "session", "shards", "threads", "znodes",
)  # fmt: skip
_LOCKING = tuple(f"zkdiscovery.{package}" for package in _WITH_LOCKS)


def is_in_a_call(frame: FrameType | None) -> bool:
    """Return whether code of the SDK is on this stack. Frames that call functions of users hold no lock of ours."""
    while frame is not None:
        if _is_ours(frame):
            return True
        frame = frame.f_back
    return False


def interrupts_a_call() -> bool:
    """Return whether a signal handler calls that has interrupted a call of the SDK on the main thread.

    Then code of others is between code of ours on the stack.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - a faster inspect.currentframe()
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return is_in_a_call(frame)


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__"))
    runs_for_leader = name.endswith(".election") and frame.f_code.co_name == "run"
    calls_users = runs_for_leader or name.endswith((".decorator", ".decorators"))
    return name.startswith(_LOCKING) and not calls_users
