"""Failures that pass by themselves, and the repetition of work after one."""

from __future__ import annotations

import threading
import time

import tenacity

from zkdiscovery.errors import (
    AuthenticationFailed,
    ClientClosed,
    NotConnected,
    SessionExpired,
    UnsupportedServer,
    ZkDiscoveryError,
)


def is_passing(error: BaseException) -> bool:
    """True if the same request may succeed a moment later."""
    if isinstance(error, (AuthenticationFailed, UnsupportedServer, ClientClosed)):
        return False
    return isinstance(error, (NotConnected, SessionExpired)) or (
        isinstance(error, ZkDiscoveryError) and error.was_not_executed
    )


def retrying(deadline: float, stop: threading.Event) -> tenacity.Retrying:
    """The policy for work that may be repeated: again after passing failures, until `deadline` (monotonic seconds).

    A pause ends at once when `stop` is set.
    """
    pause = tenacity.wait_random_exponential(multiplier=0.02, max=0.5)
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_passing),
        stop=lambda _: time.monotonic() >= deadline,
        wait=lambda attempt: min(pause(attempt), max(0.0, deadline - time.monotonic())),
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    )
