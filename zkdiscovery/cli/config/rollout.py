"""`config rollout`: a revision for a growing share of the readers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from zkdiscovery.cli.commands import parse_duration
from zkdiscovery.cli.config.options import DocumentName
from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.output import write_json, write_json_line, write_table
from zkdiscovery.errors import NodeMissing

if TYPE_CHECKING:
    from zkdiscovery import ConfigRollout

_REVISION = typer.Argument(
    min=1, help="The revision, as `set --stage` stored it; the rollout that is under way if not given.",
    show_default=False,
)  # fmt: skip
_PERCENT = typer.Option(help="The share of each stage; 5,25,100 if not given.", metavar="N,N,100", show_default=False)
_BAKE = typer.Option(
    help="Seconds that each stage lasts at least; 300 if not given.", metavar="SECONDS", parser=parse_duration,
    show_default=False,
)  # fmt: skip


def rollout(
    ctx: typer.Context,
    name: DocumentName,
    revision: Annotated[int | None, _REVISION] = None,
    percent: Annotated[str | None, _PERCENT] = None,
    bake: Annotated[float | None, _BAKE] = None,
    status: Annotated[bool, typer.Option("--status", help="Show how far it is, and do nothing.")] = False,
    stop: Annotated[
        str | None, typer.Option(metavar="WHY", help="Let all readers have the revision of before.")
    ] = None,
) -> None:
    """Put a revision in force for a growing share of the readers, and wait until all of them have it.

    If this command ends, the share stays; the same command goes on. It stops if a reader refuses the revision.
    """
    cli: Cli = ctx.obj
    if status or stop is not None:
        if revision is not None or percent is not None or bake is not None or (status and stop is not None):
            raise typer.BadParameter("--status and --stop stand alone")
        _show(cli, name) if stop is None else _stop(cli, name, stop)
        return
    stages = (5.0, 25.0, 100.0) if percent is None else _parsed(percent)
    with cli.connected() as client:
        cli.follow_connection()
        store = client.config_store(name)
        store.staged_rollout(revision, stages, 300.0 if bake is None else bake, _Progress(cli))
        number = store.read(timeout=cli.timeout).revision.number
    if cli.json:
        write_json_line({"document": name, "revision": number, "percent": 100})
    else:
        cli.say(f"{name}: revision {number} is in force for all readers")


class _Progress:
    """Tells of each stage, once."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._told: float | None = None

    def __call__(self, rollout: ConfigRollout) -> None:
        if rollout.percent == self._told:
            return
        self._told = rollout.percent
        if self._cli.json:
            write_json_line({"document": rollout.document, "revision": rollout.revision, "percent": rollout.percent})
        else:
            self._cli.say(
                f"{rollout.document}: revision {rollout.revision} is for {rollout.percent:g} % of the readers"
            )


def _show(cli: Cli, name: str) -> None:
    with cli.connected() as client, cli.working("reading the rollout"):
        found = client.config_store(name).rollout(cli.timeout)
    if cli.json:
        write_json(None if found is None else asdict(found))
    elif found is None:
        raise NodeMissing(f"no rollout of the document {name!r} is under way, and none was stopped")
    else:
        state = f"stopped: {found.stopped}" if found.stopped is not None else f"{found.percent:g} %"
        having = sum(reader.revision == found.revision for reader in found.readers)
        stages = ", ".join(f"{percent:g}" for percent in found.stages)
        row = (
            str(found.revision),
            str(found.stable),
            state,
            stages,
            f"{found.bake:g} s",
            f"{having}/{len(found.readers)}",
        )
        write_table(("REVISION", "STABLE", "STATE", "STAGES", "BAKE", "READERS"), [row])


def _stop(cli: Cli, name: str, why: str) -> None:
    with cli.connected() as client, cli.working("stopping the rollout"):
        number = client.config_store(name).stop_rollout(why, cli.timeout)
    if cli.json:
        write_json({"document": name, "revision": number})
    else:
        cli.say(f"{name}: revision {number} is in force for all readers")


def _parsed(percent: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in percent.split(","))
    except ValueError:
        raise typer.BadParameter(f"must be numbers with commas between them: got {percent!r}") from None
