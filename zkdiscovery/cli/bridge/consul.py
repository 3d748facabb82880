"""`bridge consul`: follow the services of a Consul datacenter, and show it ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zkdiscovery.cli.bridge.run import run_bridges
from zkdiscovery.cli.context import Cli

if TYPE_CHECKING:
    from zkdiscovery import Client
    from zkdiscovery.bridges import Source


def consul(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            help="URL of an agent or server, such as http://consul.example:8500; that of CONSUL_HTTP_ADDR if not given."
            " It names the source: all bridges of one Consul take the same one.",
            show_default=False,
        ),
    ] = None,
    *,
    export: Annotated[bool, typer.Option("--export", help="Make our services services of Consul, too.")] = False,
) -> None:
    """Follow the services of a Consul datacenter until Ctrl-C or SIGTERM.

    The environment is that of Consul's own client: CONSUL_HTTP_TOKEN, CONSUL_CACERT and others.
    """
    from zkdiscovery.bridges.consul import ConsulSource, ExportingConsulSource  # noqa: PLC0415 - loads all of the SDK
    from zkdiscovery.bridges.registry import registry_id  # noqa: PLC0415 - loaded by the above

    cli: Cli = ctx.obj

    def make(client: Client) -> list[Source]:
        if not export:
            return [ConsulSource(url)]
        return [ExportingConsulSource(lambda: registry_id(client.slot.current()), url)]

    run_bridges(cli, make)
