"""The commands and the options that they share."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import zkdiscovery
from zkdiscovery.cli import balance, bridges, elections, lock, locks, operate, register, services, shards, start, watch
from zkdiscovery.cli.bridge import COMMANDS as BRIDGE_COMMANDS
from zkdiscovery.cli.config import COMMANDS as CONFIG_COMMANDS
from zkdiscovery.cli.context import Cli, Output
from zkdiscovery.cli.doctor import command as doctor
from zkdiscovery.cli.exec import execute
from zkdiscovery.cli.exits import ExitCode, Terminated, reported, terminate_in_order
from zkdiscovery.cli.output import write
from zkdiscovery.cli.run import run as run_command
from zkdiscovery.cli.values import check_hosts, check_seconds

_EPILOG = """
What is not given comes from ZKDISCOVERY_HOSTS, ZKDISCOVERY_NAMESPACE and the other ZKDISCOVERY_* variables.

Exit codes: 0 fine; 1 failed; 2 bad usage, name or setting; 3 not connected; 4 not found; 5 refused by credentials or \
ACL; 6 conflict; 7 lock lost; 126 and 127 the command of `run`, \
`exec` or `lock` can't be run; 130 Ctrl-C, 143 SIGTERM, 141 broken pipe (128 + the number of the signal).
"""

_PANEL = "Global options"
_SHARED = ("hosts", "namespace", "base_path", "timeout", "output", "debug")

_UsageError: Any = typer.BadParameter.__base__  # click's, of which newer versions of typer have a copy


class _Commands(TyperGroup):
    """The command. A usage error is one line on stderr, as every other error is."""

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            status = super().main(*args, **options | {"standalone_mode": False})
        except _UsageError as error:
            if type(error).__name__ != "NoArgsIsHelpError":  # the help is printed already
                # Where typer shows an error of its own parser, the class of the error stands before it.
                what = " ".join(error.format_message().replace(": Value error, ", ": ").split()).rstrip(".")
                Cli().fail(f"{what[:1].lower()}{what[1:]}; see `{error.ctx.command_path} --help`")
            status = ExitCode.USAGE
        except typer.Abort:
            status = 128 + signal.SIGINT
        sys.exit(status)


app = typer.Typer(
    name="zkdiscovery",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)


class _Command(TyperCommand):
    """A command whose errors become messages."""

    def invoke(self, ctx: Any) -> Any:
        cli: Cli = ctx.obj
        with cli.log_on_stderr(), reported(cli):
            return super().invoke(ctx)


class _SharingCommand(_Command):
    """A command that takes the global options after its name, too."""

    def get_params(self, ctx: Any) -> Any:
        shared = [param for param in ctx.find_root().command.params if param.name in _SHARED]
        return [*super().get_params(ctx), *shared]

    def invoke(self, ctx: Any) -> Any:
        values = {name: ctx.params.pop(name, None) for name in _SHARED}
        ctx.obj = replace(ctx.obj, **_given(values))
        return super().invoke(ctx)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _print_version(wanted: bool) -> None:
    if wanted:
        write(f"zkdiscovery {zkdiscovery.__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    hosts: Annotated[
        str | None,
        typer.Option(
            help="ZooKeeper servers, host:port with commas between; 127.0.0.1:2181 if not given.",
            metavar="HOST:PORT,…",
            callback=check_hosts,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            help="Path below which everything lives; the root if not given.", metavar="PATH", rich_help_panel=_PANEL
        ),
    ] = None,
    base_path: Annotated[
        str | None,
        typer.Option(
            help="Path of the services, such as Curator's base path; 'services' below the namespace if not given.",
            metavar="PATH",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds for a connection and for each answer; 5 if not given.",
            metavar="SECONDS",
            callback=check_seconds,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    output: Annotated[
        Output | None,
        typer.Option("--output", "-o", help="What goes to stdout; a table if not given.", rich_help_panel=_PANEL),
    ] = None,
    debug: Annotated[
        bool | None,
        typer.Option("--debug", help="Tell everything on stderr, tracebacks included.", rich_help_panel=_PANEL),
    ] = None,
    version: Annotated[  # noqa: ARG001 - handled before
        bool | None,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = None,
) -> None:
    """Register, discover and elect on Apache ZooKeeper."""
    given = {
        "hosts": hosts, "namespace": namespace, "base_path": base_path, "timeout": timeout, "output": output,
        "debug": debug,
    }  # fmt: skip
    ctx.obj = Cli(**_given(given))


app.command(cls=_Command)(start.demo)
app.command(cls=_Command)(start.dev)
app.command("services", cls=_SharingCommand)(services.list_services)
app.command("instances", cls=_SharingCommand)(services.list_instances)
app.command(cls=_SharingCommand)(register.register)
app.command("run", cls=_SharingCommand)(run_command)
app.command("exec", cls=_SharingCommand)(execute)
app.command(cls=_SharingCommand)(watch.watch)
app.command(cls=_SharingCommand)(balance.balance)
app.command(cls=_SharingCommand)(operate.override)
app.command(cls=_SharingCommand)(operate.remove)
app.command(cls=_SharingCommand)(lock.lock)
app.command("locks", cls=_SharingCommand)(locks.list_locks)
app.command("elections", cls=_SharingCommand)(elections.list_elections)
app.command("shards", cls=_SharingCommand)(shards.list_shards)
app.command("bridges", cls=_SharingCommand)(bridges.list_bridges)
app.command(cls=_SharingCommand)(doctor.doctor)

bridge = typer.Typer(
    name="bridge",
    no_args_is_help=True,
    help="Make what another system knows visible as instances, until Ctrl-C or SIGTERM; take away what one has left.",
)
for _name, _function in BRIDGE_COMMANDS.items():
    bridge.command(_name, cls=_SharingCommand)(_function)
app.add_typer(bridge)

config = typer.Typer(
    name="config",
    no_args_is_help=True,
    help="Read and edit the documents of the config centre, and see who reads them.",
)
for _name, _function in CONFIG_COMMANDS.items():
    config.command(_name, cls=_SharingCommand)(_function)
app.add_typer(config)


def run() -> None:
    """Run the command with the arguments of this process; ends the process."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character gets an escape instead.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        terminate_in_order()
        app(prog_name="zkdiscovery")
    except Terminated as end:
        sys.exit(128 + end.number)
