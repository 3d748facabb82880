"""`override` and `remove`: what operators do to instances of others."""

from __future__ import annotations

from typing import Annotated

import typer

from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.output import INSTANCE_COLUMNS, instance_json, instance_row, write_json, write_table
from zkdiscovery.cli.values import InstanceId, ServiceName
from zkdiscovery.errors import NodeMissing
from zkdiscovery.model import Status


def override(
    ctx: typer.Context,
    name: ServiceName,
    id: InstanceId,
    status: Annotated[
        Status | None, typer.Option(help="Status above what the owner wants.", case_sensitive=False)
    ] = None,
    weight: Annotated[float | None, typer.Option(help="Weight above what the owner wants.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Leave the instance to its owner again.")] = False,
) -> None:
    """Put a status or a weight above what the owner of an instance wants, until it is cleared."""
    cli: Cli = ctx.obj
    if clear == (status is not None or weight is not None):
        raise typer.BadParameter("give --status, --weight or both; or --clear alone")
    with cli.connected() as client:
        with cli.working(f"writing to {id}"):
            try:
                if clear:
                    instance = client.clear_override(name, id, timeout=cli.timeout)
                else:
                    instance = client.override(name, id, status=status, weight=weight, timeout=cli.timeout)
            except NodeMissing:
                raise _missing(name, id) from None
        if cli.json:
            write_json(instance_json(instance))
        else:
            write_table(INSTANCE_COLUMNS, [instance_row(instance)])


def remove(ctx: typer.Context, name: ServiceName, id: InstanceId) -> None:
    """Delete an instance that its owner left behind. A live owner registers it again."""
    cli: Cli = ctx.obj
    with cli.connected() as client:
        with cli.working(f"removing {id}"):
            found = client.remove(name, id, timeout=cli.timeout)
        if not found:
            raise _missing(name, id)
        if cli.json:
            write_json({"service": name, "id": id, "removed": True})
        else:
            cli.say(f"removed {id} of {name}")


def _missing(name: str, id: str) -> NodeMissing:
    return NodeMissing(f"there is no instance {id!r} of {name!r}; `zkdiscovery instances {name}` lists them")
