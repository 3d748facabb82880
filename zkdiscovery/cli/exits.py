"""The end of a command: exit codes, and the one place where errors become a line on stderr.

Guarantees: an error of the SDK, an interruption and a closed pipe are no tracebacks, unless `--debug` asks for one.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType

import typer

from zkdiscovery.cli.context import Cli
from zkdiscovery.errors import (
    AccessDenied,
    AuthenticationFailed,
    HoldLost,
    InvalidDocument,
    InvalidInstance,
    InvalidName,
    InvalidSettings,
    NodeChanged,
    NodeMissing,
    NoServerForTests,
    NotConnected,
    OperationTimeout,
    RegistrationConflict,
    SessionExpired,
    UnsupportedServer,
    ZkDiscoveryError,
)


class ExitCode(IntEnum):
    """The exit codes of the command."""

    OK = 0
    FAILED = 1  # also: doctor found something wrong
    USAGE = 2  # an option, a name, a value or a setting that can't be used
    NOT_CONNECTED = 3  # no ZooKeeper within the time limit, or none that can be used
    NOT_FOUND = 4
    REFUSED = 5  # credentials or an ACL
    CONFLICT = 6  # another process owns the id, holds the lock, or has stored another revision
    LOST = 7  # the lock was lost, and the command that ran below it was ended
    BROKEN_PIPE = 128 + signal.SIGPIPE  # the reader of our output went away


_CODES: dict[type[ZkDiscoveryError], ExitCode] = {
    InvalidName: ExitCode.USAGE,
    InvalidInstance: ExitCode.USAGE,
    InvalidDocument: ExitCode.USAGE,
    InvalidSettings: ExitCode.USAGE,
    NoServerForTests: ExitCode.NOT_CONNECTED,
    NotConnected: ExitCode.NOT_CONNECTED,
    OperationTimeout: ExitCode.NOT_CONNECTED,
    SessionExpired: ExitCode.NOT_CONNECTED,
    UnsupportedServer: ExitCode.NOT_CONNECTED,
    NodeMissing: ExitCode.NOT_FOUND,
    AuthenticationFailed: ExitCode.REFUSED,
    AccessDenied: ExitCode.REFUSED,
    RegistrationConflict: ExitCode.CONFLICT,
    NodeChanged: ExitCode.CONFLICT,
    HoldLost: ExitCode.LOST,
}


def code_for(error: ZkDiscoveryError) -> ExitCode:
    """The exit code for an error."""
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), ExitCode.FAILED)


class Terminated(SystemExit):
    """SIGTERM or SIGHUP came. Like KeyboardInterrupt: whatever is open is closed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def terminate_in_order() -> None:
    """Let SIGTERM and SIGHUP end the process as Ctrl-C does; an ignored signal (`nohup`) stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


@contextmanager
def reported(cli: Cli) -> Iterator[None]:
    """Turn what ends a command into a message and an exit code."""
    try:
        yield
    except ZkDiscoveryError as error:
        if cli.debug:
            cli.say(traceback.format_exc().rstrip())
        cli.fail(str(error))
        raise typer.Exit(code_for(error)) from None
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.BROKEN_PIPE) from None
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    except Terminated as end:
        raise typer.Exit(128 + end.number) from None
