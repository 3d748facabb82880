"""Checks of what users hand over: functions to call, and times to wait."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Coroutine

_INSTEAD = "run it with asyncio.run() in a `def`"


def check_function(fn: object, what: str, *, instead: str = _INSTEAD) -> None:
    """Refuse what can't be called, and what would run nothing when it is called.

    Args:
        fn: the function.
        what: what it is for, to begin the message with.
        instead: what to do about an `async def`.

    Raises:
        TypeError: not callable, a coroutine function or a generator function; also as the `__call__` of an object and
            within functools.partial.
    """
    if not callable(fn):
        raise TypeError(f"{what} must be callable, not {type(fn).__name__}")
    inner: object = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    for code in (inner, type(inner).__call__):
        if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
            raise TypeError(f"{what} must be a plain function, not `async def`: {_name(inner)}; {instead}")
        if inspect.isgeneratorfunction(code):
            raise TypeError(
                f"{what} must be a plain function: calling the generator function {_name(inner)} runs nothing"
            )


def refuse_coroutine(result: object, what: str, *, instead: str = _INSTEAD) -> None:
    """Refuse the result of a function that returned a coroutine, which nothing would ever await.

    Raises:
        TypeError: `result` is a coroutine. It is closed.
    """
    if result is not None and isinstance(result, Coroutine):
        result.close()
        raise TypeError(f"{what} must be a plain function, and it returned a coroutine; {instead}")


def _name(fn: object) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)
