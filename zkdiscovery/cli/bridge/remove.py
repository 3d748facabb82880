"""`bridge remove`: delete what the bridges of a retired source have left."""

from __future__ import annotations

from typing import Annotated

import typer

from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.output import write_json
from zkdiscovery.cli.values import checked_name


def _check_source(value: str) -> str:
    return checked_name(value, "the name of a source")


def remove(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Name of the source, as `zkdiscovery bridges` lists it.",
            callback=_check_source,
            show_default=False,
        ),
    ],
) -> None:
    """Delete the instances of a source that has no bridge any more.

    It refuses while a bridge of the source runs, which would write them again.
    """
    from zkdiscovery.bridges.sources import remove_source  # noqa: PLC0415 - loads all of the SDK

    cli: Cli = ctx.obj
    with cli.connected() as client:
        with cli.working(f"removing what {source} has left"):
            count = remove_source(client, source, cli.timeout)
        if cli.json:
            write_json({"source": source, "removed": count})
        else:
            cli.say(f"removed {count} instances of {source}")
