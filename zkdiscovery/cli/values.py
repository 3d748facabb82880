"""Checks of values on the command line. What the SDK checks itself is not checked here."""

from __future__ import annotations

from collections.abc import Iterable

import typer

_MAX_SECONDS = 86_400.0  # a day


def check_seconds(value: float | None) -> float | None:
    """A number of seconds, 0 excluded; also refuses NaN."""
    if value is not None and not 0 < value <= _MAX_SECONDS:
        raise typer.BadParameter(f"must be more than 0 and at most {_MAX_SECONDS:g} seconds")
    return value


def parse_pairs(items: Iterable[str], option: str) -> dict[str, str]:
    """`k=v` items as a mapping."""
    result = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"must be KEY=VALUE: got {item!r}", param_hint=option)
        result[key] = value
    return result
