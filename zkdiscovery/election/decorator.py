"""`@client.while_leader`: a function that only the leader runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from zkdiscovery.election.election import Election
from zkdiscovery.election.term import Term

R = TypeVar("R")


def while_leader(
    fn: Callable[..., R], election: Callable[[], Election], timeout: float | None, *, takes_term: bool
) -> Callable[[], R | None]:
    """Wrap `fn`: campaign, call it (with the term, if it takes one), again after a loss."""

    def call(term: Term) -> R:
        return fn(term) if takes_term else fn()

    @functools.wraps(fn)
    def wrapper() -> R | None:
        with election() as candidate:
            return candidate.run(call, timeout)

    return wrapper
