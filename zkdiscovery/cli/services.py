"""`services` and `instances`: what is registered, read once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from zkdiscovery.cli.context import Cli, no_instance, paths_of
from zkdiscovery.cli.output import INSTANCE_COLUMNS, instance_json, instance_row, write_json, write_table
from zkdiscovery.cli.values import ServiceName
from zkdiscovery.errors import AccessDenied, InvalidName
from zkdiscovery.model import Status

if TYPE_CHECKING:
    from zkdiscovery import Client


def list_services(ctx: typer.Context) -> None:
    """List the services, with how many instances each has and how many of them are UP."""
    cli: Cli = ctx.obj
    with cli.connected() as client:
        with cli.working("reading the services"):
            end = time.monotonic() + cli.timeout
            found = [_counted(cli, client, name, end) for name in client.service_names(cli.timeout)]
        if cli.json:
            write_json(found)
        elif not found:
            cli.say(f"no service is registered in {paths_of(client).services()}")
        else:
            rows = [[str("-" if value is None else value) for value in service.values()] for service in found]
            write_table(("SERVICE", "INSTANCES", "UP"), rows)


def _counted(cli: Cli, client: Client, name: str, end: float) -> dict[str, Any]:
    try:
        instances = client.instances(name, max(0.0, end - time.monotonic()))
    except (AccessDenied, InvalidName) as error:  # of this one service: the others are of use all the same
        cli.warn(str(error))
        return {"service": name, "instances": None, "up": None}
    up = sum(instance.status is Status.UP for instance in instances)
    return {"service": name, "instances": len(instances), "up": up}


def list_instances(ctx: typer.Context, name: ServiceName) -> None:
    """List the instances of a service."""
    cli: Cli = ctx.obj
    with cli.connected() as client:
        with cli.working(f"reading the instances of {name}"):
            instances = client.instances(name, cli.timeout)
        if cli.json:
            write_json([instance_json(instance) for instance in instances])
        if not instances:
            raise no_instance(client, name)
        if not cli.json:
            write_table(INSTANCE_COLUMNS, [instance_row(instance) for instance in instances])
