"""`exec`: a command whose environment is a configuration."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zkdiscovery.cli.commands import CommandLine, KillAfter, keep_exit_code, not_started, require_program
from zkdiscovery.cli.config.options import VARIABLE, Keys, checked_document, load_keys
from zkdiscovery.cli.context import Cli
from zkdiscovery.errors import NodeMissing
from zkdiscovery.sidecar import ConfiguredCommand
from zkdiscovery.supervise import reap_orphans

if TYPE_CHECKING:
    from zkdiscovery import Config

_NOT_FOR_RELOADING = (signal.SIGKILL, signal.SIGSTOP)


def _parse_signal(value: str) -> int:
    number = getattr(signal.Signals, "SIG" + value.upper().removeprefix("SIG"), None)
    if not isinstance(number, signal.Signals) or number in _NOT_FOR_RELOADING:
        raise typer.BadParameter(f"must be the name of a signal that a program can handle, such as HUP: got {value!r}")
    return number


def _check_prefix(value: str) -> str:
    from zkdiscovery.sidecar.variables import is_name  # noqa: PLC0415 - loads all of the SDK

    if value and not is_name(value):
        raise typer.BadParameter(f"must be the beginning of a variable's name, such as APP_: got {value!r}")
    return value


def execute(
    ctx: typer.Context,
    command: CommandLine,
    *,
    config: Annotated[
        str,
        typer.Option(
            "--config", metavar="NAME", help="The configuration; its document, unless there are layers.",
            callback=checked_document, show_default=False,
        ),
    ],
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A document, the lowest first; may be given again. {zone} is the zone.",
            show_default=False,
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="What the names of the variables begin with.", callback=_check_prefix)
    ] = "",
    reload: Annotated[
        int | None,
        typer.Option(
            "--signal", metavar="NAME", help="Send this signal after a change, such as HUP, and do not restart.",
            parser=_parse_signal, show_default=False,
        ),
    ] = None,
    kill_after: KillAfter = 30.0,
    keys: Keys = None,
    fallback: Annotated[
        Path | None,
        typer.Option(
            help="A file for the last good documents, to start from while ZooKeeper can't be reached.",
            dir_okay=False, show_default=False,
        ),
    ] = None,
) -> None:  # fmt: skip
    """Run a command with a configuration as its environment, and restart it when that changes.

    {"bank": {"timeout": 3}} is BANK_TIMEOUT=3. A revision that can't be an environment changes nothing. The exit code
    is that of the command, 128+N if signal N ended it. A command that ends by itself is not restarted.

    Once the command has started, it runs whatever becomes of ZooKeeper.
    """
    cli: Cli = ctx.obj
    require_program(cli, command)
    keyring = load_keys(keys)
    signal.signal(signal.SIGCHLD, lambda *_: reap_orphans())  # those that end before the command starts
    with cli.client() as client:
        found = client.config(config, _model(prefix), layers=layer or None, keys=keyring, fallback=fallback)
        with cli.working("reading the configuration"):
            found.wait_ready(cli.timeout)
        _require_document(cli, found)
        cli.follow_connection()
        running = ConfiguredCommand(
            found, command, environment={name: value for name, value in os.environ.items() if name != VARIABLE},
            reload=reload, kill_after=kill_after, say=cli.say, warn=cli.warn,
        )  # fmt: skip
        try:
            code = running.run()
        except OSError as error:
            raise not_started(cli, command, error) from None
        keep_exit_code()
    raise typer.Exit(code)


def _model(prefix: str) -> Any:
    """Return the model that makes variables of a document."""
    from pydantic import BeforeValidator  # noqa: PLC0415 - help needs it not

    from zkdiscovery.sidecar.variables import variables_of  # noqa: PLC0415 - loads all of the SDK

    return Annotated[dict[str, str], BeforeValidator(lambda document: variables_of(document, prefix))]


def _require_document(cli: Cli, config: Config[Any]) -> None:
    """Refuse to start a program without any of its settings, because a name is mistyped."""
    if not any(config.revisions.values()):
        names = ", ".join(map(repr, config.revisions))
        raise NodeMissing(f"there is no document {names}; `zkdiscovery config get` lists what is")
    if config.stale:
        revisions = ", ".join(f"{name} {number}" for name, number in config.revisions.items())
        cli.warn(f"ZooKeeper has not answered; starting from the fallback file, with {revisions}")
