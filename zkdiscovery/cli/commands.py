"""A command that is run by `exec`, `lock` and `run`: how it is given, and how its end becomes ours."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from contextlib import suppress
from typing import Annotated

import typer

from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.values import check_seconds

FENCE = "ZKDISCOVERY_FENCE"  # the variable that tells a command the fence of its lock
NOT_EXECUTABLE = 126  # as shells have it
NOT_FOUND = 127

CommandLine = Annotated[
    list[str],
    typer.Argument(metavar="-- COMMAND [ARGUMENTS]…", help="The program and its arguments.", show_default=False),
]


def parse_duration(value: str | float) -> float:
    """Return the seconds of `2`, `2.5` or `2s`; of a default, which comes as a number."""
    with suppress(ValueError):
        seconds = float(str(value).removesuffix("s"))
        check_seconds(seconds)
        return seconds
    raise typer.BadParameter(f"must be a number of seconds, such as 2 or 2s: got {value!r}")


KillAfter = Annotated[
    float,
    typer.Option(
        help="Seconds from the signal that the command gets to SIGKILL.", metavar="SECONDS", parser=parse_duration
    ),
]


def require_program(cli: Cli, argv: list[str]) -> None:
    """End with 127 or 126 if the program can't be found or run, before anything is done for it."""
    if shutil.which(argv[0]) is None:
        missing = not (os.sep in argv[0] and os.path.lexists(argv[0]))
        raise not_started(cli, argv, OSError(errno.ENOENT if missing else errno.EACCES, ""))


def not_started(cli: Cli, argv: list[str], error: OSError) -> typer.Exit:
    """The end of a command that can't be started."""
    missing = error.errno == errno.ENOENT
    why = "no such program" if missing else os.strerror(error.errno) if error.errno else str(error)
    cli.fail(f"can't run {argv[0]!r}: {why}")
    return typer.Exit(NOT_FOUND if missing else NOT_EXECUTABLE)


def keep_exit_code() -> None:
    """Ignore what would end us, because the command has ended: what is left is short, and its exit code is ours."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
