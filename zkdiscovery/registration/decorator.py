"""`@client.registered`: registered while the function runs, and once its port listens."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from zkdiscovery.registration.base import RegistrationState
from zkdiscovery.registration.registration import Registration
from zkdiscovery.validation import check_function, refuse_coroutine

R = TypeVar("R")


def takes_argument(fn: Callable[..., object]) -> bool:
    """Must `fn` be called with one positional argument?

    Raises:
        TypeError: it can't be called, or needs more than one.
    """
    if not callable(fn):
        raise TypeError(f"what is decorated must be callable, not {type(fn).__name__}")
    name = getattr(fn, "__qualname__", repr(fn))
    needed = [
        parameter
        for parameter in inspect.signature(fn).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
    if len(needed) > 1 or any(parameter.kind is parameter.KEYWORD_ONLY for parameter in needed):
        names = ", ".join(parameter.name for parameter in needed)
        raise TypeError(f"{name} must take no argument or one, and it needs {names}; give the others defaults")
    return bool(needed)


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
