"""`@client.registered`: registered while the function runs, and once its port listens."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, overload

from zkdiscovery.registration.base import RegistrationState
from zkdiscovery.registration.registration import Registration
from zkdiscovery.validation import check_function, refuse_coroutine, takes_argument

R = TypeVar("R")


def registered(fn: Callable[..., R], register: Callable[[], Registration]) -> Callable[[], R]:
    """Wrap `fn`: register, call it (with the registration, if it takes an argument), drain when it ends in any way."""
    check_function(fn, "what is decorated")
    wants_registration = takes_argument(fn)

    @functools.wraps(fn)
    def wrapper() -> R:
        registration = register()
        arguments: tuple[Any, ...] = (registration,) if wants_registration else ()
        try:
            result = fn(*arguments)
            refuse_coroutine(result, "what is decorated")
            return result
        finally:
            # A client that is being closed deregisters it, and whatever interrupts us has waited for that already.
            if registration.state not in {RegistrationState.DRAINING, RegistrationState.CLOSED}:
                registration.__exit__()

    return wrapper


class RegisteredDecorator:
    """The decorator of `client.registered(...)`, for functions with the registration as argument, or none."""

    def __init__(self, register: Callable[[], Registration]) -> None:
        self._register = register

    @overload
    def __call__(self, fn: Callable[[Registration], R]) -> Callable[[], R]: ...

    @overload
    def __call__(self, fn: Callable[[], R]) -> Callable[[], R]: ...

    def __call__(self, fn: Callable[..., R]) -> Callable[[], R]:
        return registered(fn, self._register)
