"""`@client.while_leader`: a function that only the leader runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar, overload

from zkdiscovery.election.election import Election
from zkdiscovery.election.term import Term
from zkdiscovery.validation import check_function, check_timeout, takes_argument

R = TypeVar("R")


class LeaderDecorator:
    """The decorator of `client.while_leader(...)`, for functions with the term as argument, or none."""

    def __init__(self, election: Callable[[], Election], timeout: float | None) -> None:
        check_timeout(timeout)
        self._election = election
        self._timeout = timeout

    @overload
    def __call__(self, fn: Callable[[Term], R]) -> Callable[[], R | None]: ...

    @overload
    def __call__(self, fn: Callable[[], R]) -> Callable[[], R | None]: ...

    def __call__(self, fn: Callable[..., R]) -> Callable[[], R | None]:
        check_function(fn, "what is decorated")
        takes_term = takes_argument(fn)

        def call(term: Term) -> R:
            return fn(term) if takes_term else fn()

        @functools.wraps(fn)
        def wrapper() -> R | None:
            with self._election() as candidate:
                return candidate.run(call, self._timeout)

        return wrapper
