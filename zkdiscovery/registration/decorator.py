"""`@client.registered`: registered while the function runs, and once its port listens."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from zkdiscovery.registration.registration import Registration

P = ParamSpec("P")
R = TypeVar("R")


def takes_argument(fn: Callable[..., object]) -> bool:
    """Must `fn` be called with one positional argument?

    Raises:
        TypeError: it is a coroutine function, or needs more than one.
    """
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"{fn.__qualname__} is `async def`, which the sync client can't run; run it with asyncio.run in a `def`"
        )
    positional = [
        parameter
        for parameter in inspect.signature(fn).parameters.values()
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
        and parameter.default is parameter.empty
    ]
    if len(positional) > 1:
        raise TypeError(f"{fn.__qualname__} must take no argument or one, not {len(positional)}")
    return len(positional) == 1


def registered(fn: Callable[..., R], register: Callable[[], Registration]) -> Callable[[], R]:
    """Wrap `fn`: register, call it (with the registration, if it takes an argument), drain when it ends in any way."""
    wants_registration = takes_argument(fn)

    @functools.wraps(fn)
    def wrapper() -> R:
        registration = register()
        arguments: tuple[Any, ...] = (registration,) if wants_registration else ()
        try:
            return fn(*arguments)
        finally:
            registration.drain()

    return wrapper
