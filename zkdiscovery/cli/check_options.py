"""The options that say how `run` finds out whether a command is well."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zkdiscovery.cli.commands import parse_duration

if TYPE_CHECKING:
    from zkdiscovery import Check

_FORMS = "tcp, http:/PATH, https:/PATH, grpc or command:PROGRAM…; with a port as in http:8081/ready"
_PLACE = re.compile(r"(?P<port>[0-9]{1,5})?(?P<what>/.*)?")

Checks = Annotated[
    list[str] | None,
    typer.Option(
        "--check",
        help=f"What must pass: {_FORMS}. May be given again; tcp if not given. Not what waits for the registration.",
        metavar="CHECK",
    ),
]
Interval = Annotated[
    float | None,
    typer.Option(
        "--check-interval", help="Seconds between two runs; 5 if not given.", metavar="SECONDS", parser=parse_duration
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--check-timeout", help="Seconds that one run may take; 1 if not given, of a command 5.", metavar="SECONDS",
        parser=parse_duration,
    ),
]  # fmt: skip
Failures = Annotated[
    int | None, typer.Option("--check-failures", help="Failures in a row after which it is DOWN; 3 if not given.")
]
Passes = Annotated[
    int | None, typer.Option("--check-passes", help="Passes in a row after which it is UP again; 2 if not given.")
]
Grace = Annotated[
    float | None,
    typer.Option(
        "--check-grace", help="Seconds from the start in which failures do not count; 30 if not given.",
        metavar="SECONDS", parser=parse_duration,
    ),
]  # fmt: skip


def parse_checks(texts: list[str] | None, **options: float | None) -> list[Check]:
    """Return the checks that are written as `http:/ready`, with the options given; without any, that of the port.

    Raises:
        InvalidInstance: a value is out of range.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return [_parse(text, given) for text in texts or ["tcp"]]


def _parse(text: str, options: dict[str, Any]) -> Check:
    from zkdiscovery import CommandCheck, GrpcCheck, HttpCheck, TcpCheck  # noqa: PLC0415 - loads all of the SDK

    kind, _, rest = text.partition(":")
    if kind == "command":
        try:
            argv = shlex.split(rest)
        except ValueError as error:
            raise _refused(text, f": {error}") from None
        if not argv:
            raise _refused(text)
        return CommandCheck(argv, **options)
    place = _PLACE.fullmatch(rest)
    if place is None:
        raise _refused(text)
    port = None if place["port"] is None else int(place["port"])
    what = place["what"] or ""
    match kind:
        case "tcp" if not what:
            return TcpCheck(port=port, **options)
        case "http" | "https":
            return HttpCheck(what or "/", port=port, tls=kind == "https", **options)
        case "grpc":
            return GrpcCheck(what.removeprefix("/"), port=port, **options)
    raise _refused(text)


def _refused(text: str, why: str = "") -> typer.BadParameter:
    return typer.BadParameter(f"must be {_FORMS}: got {text!r}{why}", param_hint="--check")
