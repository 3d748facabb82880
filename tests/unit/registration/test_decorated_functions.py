"""Which functions can be decorated."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from zkdiscovery import Client
from zkdiscovery.validation import takes_argument


class Server:
    def serve(self) -> None: ...

    def serve_with(self, registration: object) -> None: ...

    def __call__(self, registration: object) -> None: ...


class AsyncServer:
    async def __call__(self) -> None: ...


async def coroutine() -> None: ...


async def generator() -> AsyncIterator[int]:
    yield 1


def nothing() -> None: ...


def one(registration: object) -> None: ...


def defaults(port: int = 80, *, host: str = "") -> None: ...


def one_and_defaults(registration: object, port: int = 80, *rest: int, **named: int) -> None: ...


def two(registration: object, port: int) -> None: ...


def keyword(*, port: int) -> None: ...


@pytest.mark.parametrize(
    "fn", [nothing, defaults, Server().serve, functools.partial(one, 1), functools.partial(two, 1, 2)]
)
def test_functions_without_argument(fn: Callable[..., Any]) -> None:
    assert not takes_argument(fn)


@pytest.mark.parametrize(
    "fn",
    [one, one_and_defaults, Server().serve_with, Server(), functools.partial(two, port=1), functools.partial(two, 1)],
)
def test_functions_with_an_argument(fn: Callable[..., Any]) -> None:
    assert takes_argument(fn)


@pytest.mark.parametrize("fn", [coroutine, generator, AsyncServer(), functools.partial(coroutine)])
def test_async_functions_are_refused_at_decoration(fn: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="async def"):
        Client().registered("payments", 8080)(fn)


@pytest.mark.parametrize("fn", [two, keyword, Server.serve_with])
def test_functions_that_need_more_are_refused_at_decoration(fn: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="must take no argument or one"):
        Client().registered("payments", 8080)(fn)


@pytest.mark.parametrize("fn", [None, "serve", 3])
def test_what_is_no_function_is_refused_at_decoration(fn: Any) -> None:
    with pytest.raises(TypeError):
        Client().registered("payments", 8080)(fn)
