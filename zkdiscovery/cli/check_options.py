"""The options of health checks, as `register` and `run` have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zkdiscovery.cli.commands import parse_duration

if TYPE_CHECKING:
    from zkdiscovery.registration.checks import ProbingCheck


Checks = Annotated[
    list[str] | None,
    typer.Option(
        "--check",
        help="A health check, which sets the status; may be given again. http:/ready, https:9090/ready, tcp,"
        " grpc:SERVICE or command:PROGRAM ARGUMENTS. Not one that waits for the registration.",
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


def parse_checks(texts: list[str], **options: float | None) -> list[ProbingCheck]:
    """Return the checks that are written as `http:/ready`, with the options given.

    Raises:
        InvalidInstance: a text stands for no check, or a value is out of range.
    """
    from zkdiscovery.registration.check_texts import check_of  # noqa: PLC0415 - loads all of the SDK

    given = {name: value for name, value in options.items() if value is not None}
    return [check_of(text, **given) for text in texts]
