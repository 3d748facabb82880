"""`@client.locked`: a function that runs while its process holds a lock."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from zkdiscovery.locks.lock import Lock
from zkdiscovery.validation import check_function, check_timeout, refuse_coroutine

P = ParamSpec("P")
R = TypeVar("R")


class LockedDecorator:
    """The decorator of `client.locked(...)`, for functions with any arguments."""

    def __init__(self, lock: Callable[[], Lock], timeout: float | None, *, skip_if_held: bool) -> None:
        check_timeout(timeout)
        self._lock = lock
        self._timeout = timeout
        self._skip = skip_if_held

    def __call__(self, fn: Callable[P, R]) -> Callable[P, R | None]:
        check_function(fn, "what is decorated", instead="use AsyncClient.locked")

        @functools.wraps(fn)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | None:
            lock = self._lock()  # of this call, because several threads may call
            with lock.hold_if_free(self._timeout) if self._skip else lock.hold(self._timeout) as hold:
                if hold is None:
                    return None
                result = fn(*args, **kwargs)
                refuse_coroutine(result, "what is decorated", instead="use AsyncClient.locked")
                return result

        return wrapper
