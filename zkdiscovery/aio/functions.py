"""Checks of functions that an async client awaits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any


def check_callable(fn: object, what: str) -> None:
    """Refuse what can't be called.

    Raises:
        TypeError: it is no function.
    """
    if not callable(fn):
        raise TypeError(f"{what} must be an `async def` function, not {type(fn).__name__}")


def awaitable(result: object, what: str, fn: Callable[..., Any]) -> Awaitable[Any]:
    """Return what a function returned if it can be awaited.

    Raises:
        TypeError: it can't, because the function is no `async def`.
    """
    if not isawaitable(result):
        name = getattr(fn, "__qualname__", None) or repr(fn)
        raise TypeError(
            f"{what} must be an `async def` function, and {name} returned {type(result).__name__};"
            " wrap it with asyncio.to_thread(), or use the sync client"
        )
    return result
