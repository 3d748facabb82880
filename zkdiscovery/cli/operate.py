"""`override` and `remove`: what operators do to instances of others.

Both take an id, or the `HOST:PORT` of one instance, because a default id also names the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.output import INSTANCE_COLUMNS, instance_json, instance_row, write_json, write_table
from zkdiscovery.cli.values import InstanceId, ServiceName
from zkdiscovery.errors import NodeMissing
from zkdiscovery.model import Instance, Status

if TYPE_CHECKING:
    from zkdiscovery import Client

T = TypeVar("T")


def _status(text: str) -> Status:
    try:
        return Status(text.upper())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(Status)}") from None


def override(
    ctx: typer.Context,
    name: ServiceName,
    id: InstanceId,
    status: Annotated[
        Status | None,
        typer.Option(help="Status above what the owner wants.", parser=_status, metavar=f"[{'|'.join(Status)}]"),
    ] = None,
    weight: Annotated[float | None, typer.Option(help="Weight above what the owner wants.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Leave the instance to its owner again.")] = False,
) -> None:
    """Put a status or a weight above what the owner of an instance wants, until it is cleared."""
    cli: Cli = ctx.obj
    if clear == (status is not None or weight is not None):
        raise typer.BadParameter("give --status, --weight or both; or --clear alone")
    with cli.connected() as client:

        def write(id: str) -> Instance | None:
            try:
                if clear:
                    return client.clear_override(name, id, timeout=cli.timeout)
                return client.override(name, id, status=status, weight=weight, timeout=cli.timeout)
            except NodeMissing:
                return None

        with cli.working(f"writing to {id}"):
            instance = _with_id(cli, client, name, id, write)
        if cli.json:
            write_json(instance_json(instance))
        else:
            write_table(INSTANCE_COLUMNS, [instance_row(instance)])


def remove(ctx: typer.Context, name: ServiceName, id: InstanceId) -> None:
    """Delete an instance that its owner left behind. A live owner registers it again."""
    cli: Cli = ctx.obj
    with cli.connected() as client:

        def delete(id: str) -> str | None:
            return id if client.remove(name, id, timeout=cli.timeout) else None

        with cli.working(f"removing {id}"):
            removed = _with_id(cli, client, name, id, delete)
        if cli.json:
            write_json({"service": name, "id": removed, "removed": True})
        else:
            cli.say(f"removed {removed} of {name}")


def _with_id(cli: Cli, client: Client, name: str, given: str, act: Callable[[str], T | None]) -> T:
    """Act on the instance with an id, or else on the one with that `HOST:PORT`. `act` returns None if it is missing."""
    done = act(given)
    if done is None:
        ids = [found.id for found in client.instances(name, timeout=cli.timeout) if found.netloc == given]
        if len(ids) > 1:
            raise NodeMissing(f"{len(ids)} instances of {name!r} are at {given}; give an id: {', '.join(ids)}")
        done = act(ids[0]) if ids else None
    if done is None:
        raise NodeMissing(
            f"there is no instance {given!r} of {name!r}, by id or address; `zkdiscovery instances {name}` lists them"
        )
    return done
