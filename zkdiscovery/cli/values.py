"""Values on the command line: checked before anything is connected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from zkdiscovery.errors import InvalidName
from zkdiscovery.validation import check_name

_MAX_SECONDS = 86_400.0  # a day


def check_seconds(value: float | None) -> float | None:
    """A number of seconds, 0 excluded; also refuses NaN."""
    if value is not None and not 0 < value <= _MAX_SECONDS:
        raise typer.BadParameter(f"must be more than 0 and at most {_MAX_SECONDS:g} seconds")
    return value


def check_hosts(value: str | None) -> str | None:
    """Servers as `host:port`, separated by commas."""
    if value is not None:
        from zkdiscovery.settings import split_host  # noqa: PLC0415 - loads pydantic, which help needs not

        for host in value.split(","):
            try:
                split_host(host.strip())
            except ValueError as error:
                shown = host.rpartition("@")[2]  # no password, if somebody takes it for a URL
                raise typer.BadParameter(f"{shown!r}: {error}") from None
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


def _check_service(value: str) -> str:
    return checked_name(value, "the service name")


def _check_id(value: str) -> str:
    return checked_name(value, "the instance id")


def checked_name(value: str, what: str) -> str:
    """A name that can be a znode."""
    try:
        return check_name(value, what)
    except InvalidName as error:
        raise typer.BadParameter(str(error)) from None


ServiceName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the service.", callback=_check_service, show_default=False)
]
InstanceId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="Id of the instance, or its HOST:PORT if no other has the same.",
        callback=_check_id,
        show_default=False,
    ),
]
