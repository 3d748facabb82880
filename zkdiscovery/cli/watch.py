"""`watch`: the changes of a service as they come."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from zkdiscovery.cli.context import Cli, paths_of
from zkdiscovery.cli.output import (
    harmless,
    instance_json,
    local_time,
    pairs,
    write_json_line,
    write_rendered,
)
from zkdiscovery.cli.values import ServiceName
from zkdiscovery.errors import NoInstanceAvailable, NotConnected, OperationTimeout
from zkdiscovery.model import Change, Instance

if TYPE_CHECKING:
    from zkdiscovery import Client, Service

_SIGNS = {"added": ("+", "green"), "updated": ("~", "yellow"), "removed": ("-", "red")}


def watch(ctx: typer.Context, name: ServiceName) -> None:
    """Print the changes of a service as they come, what is registered now first, until Ctrl-C.

    With -o json, one JSON object a line.

    While ZooKeeper can't be reached, it goes on trying.
    """
    cli: Cli = ctx.obj
    with cli.client() as client:
        service = client.discover(name)
        cli.await_connection(client)
        with cli.working(f"reading {name}"):
            _wait_loaded(cli, client, service)
        count = len(service.instances)
        cli.say(f"watching {name}; {count} registered now{'' if count else f' in {paths_of(client).service(name)}'}")
        for change in service.changes():
            _print(cli, change)


def _wait_loaded(cli: Cli, client: Client, service: Service) -> None:
    """Wait until the service is read, however long ZooKeeper is away.

    Raises:
        AccessDenied, AuthenticationFailed, UnsupportedServer, …: it can't be read.
    """
    while True:
        with suppress(NoInstanceAvailable):
            service.wait_ready(cli.timeout, at_least=0)
            return
        with suppress(NotConnected, OperationTimeout):  # the log of the connection shows it
            client.instances(service.name, cli.timeout)  # raises what is wrong, such as an ACL


def _print(cli: Cli, change: Change) -> None:
    now = time.time()
    for key, (before, after) in sorted(change.delta.items()):
        event = "removed" if after is None else "added" if before is None else "updated"
        if cli.json:
            entry = {
                "time": round(now, 3),
                "event": event,
                "before": before and instance_json(before),
                "after": after and instance_json(after),
            }
            write_json_line(entry)
        else:
            write_rendered(Text(f"{local_time(now)}  ").append_text(_line(event, key, before, after)))


def _line(event: str, key: str, before: Instance | None, after: Instance | None) -> Text:
    """`+ id  what it is`, `~ id  what is different`, `- id`."""
    sign, style = _SIGNS[event]
    old, new = _described(before), _described(after)
    if event == "added":
        values = [f"{name} {value}" for name, value in new.items()]
    elif event == "updated":
        changed = [name for name in old | new if old.get(name) != new.get(name)]
        values = [f"{name} {old.get(name, '-')} → {new.get(name, '-')}" for name in changed]
    else:
        values = []
    return Text.assemble((f"{sign} {harmless(key)}", style), *(f"  {harmless(value)}" for value in values))


def _described(instance: Instance | None) -> dict[str, str]:
    """The values to print of an instance, by name."""
    if instance is None:
        return {}
    values = {
        "status": instance.status,
        "address": instance.netloc,
        "weight": f"{instance.weight:g}",
        "override": instance.override,
        "zone": instance.zone,
        "version": instance.version,
        "tags": ",".join(instance.tags),
        "metadata": pairs(instance.metadata),
    }
    return {name: str(value) for name, value in values.items() if value}
