"""`@client.registered` and `@client.while_leader` on `async def`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, overload

from zkdiscovery.aio.election import AsyncElection
from zkdiscovery.aio.functions import awaitable
from zkdiscovery.aio.registration import AsyncRegistration
from zkdiscovery.aio.term import AsyncTerm
from zkdiscovery.registration import RegistrationState
from zkdiscovery.validation import check_timeout, takes_argument

R = TypeVar("R")


def registered(
    fn: Callable[..., Awaitable[R]], register: Callable[[], AsyncRegistration]
) -> Callable[[], Coroutine[Any, Any, R]]:
    """Wrap `fn`: register, await it (with the registration, if it takes an argument), drain when it ends in any way."""
    wants_registration = takes_argument(fn)

    @functools.wraps(fn)
    async def wrapper() -> R:
        registration = register()
        try:
            result: R = await awaitable(fn(registration) if wants_registration else fn(), "what is decorated", fn)
            return result
        finally:
            # A client that is being closed deregisters it.
            if registration.state not in {RegistrationState.DRAINING, RegistrationState.CLOSED}:
                await registration.__aexit__()

    return wrapper


def while_leader(
    fn: Callable[..., Awaitable[R]], election: Callable[[], AsyncElection], timeout: float | None
) -> Callable[[], Coroutine[Any, Any, R | None]]:
    """Wrap `fn`: campaign, await it (with the term, if it takes one), again after a loss."""
    wants_term = takes_argument(fn)

    def call(term: AsyncTerm) -> Awaitable[R]:
        return fn(term) if wants_term else fn()

    @functools.wraps(fn)
    async def wrapper() -> R | None:
        async with election() as candidate:
            return await candidate.run(call, timeout)

    return wrapper


class RegisteredDecorator:
    """The decorator of `client.registered(...)`, for functions with the registration as argument, or none."""

    def __init__(self, register: Callable[[], AsyncRegistration]) -> None:
        self._register = register

    @overload
    def __call__(self, fn: Callable[[AsyncRegistration], Awaitable[R]]) -> Callable[[], Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, fn: Callable[[], Awaitable[R]]) -> Callable[[], Coroutine[Any, Any, R]]: ...

    def __call__(self, fn: Callable[..., Awaitable[R]]) -> Callable[[], Coroutine[Any, Any, R]]:
        return registered(fn, self._register)


class LeaderDecorator:
    """The decorator of `client.while_leader(...)`, for functions with the term as argument, or none."""

    def __init__(self, election: Callable[[], AsyncElection], timeout: float | None) -> None:
        check_timeout(timeout)
        self._election = election
        self._timeout = timeout

    @overload
    def __call__(self, fn: Callable[[AsyncTerm], Awaitable[R]]) -> Callable[[], Coroutine[Any, Any, R | None]]: ...

    @overload
    def __call__(self, fn: Callable[[], Awaitable[R]]) -> Callable[[], Coroutine[Any, Any, R | None]]: ...

    def __call__(self, fn: Callable[..., Awaitable[R]]) -> Callable[[], Coroutine[Any, Any, R | None]]:
        return while_leader(fn, self._election, self._timeout)
