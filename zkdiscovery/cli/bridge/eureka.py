"""`bridge eureka`: follow the instances of a Eureka, and register ours there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zkdiscovery.cli.bridge.run import run_bridges
from zkdiscovery.cli.context import Cli

if TYPE_CHECKING:
    from zkdiscovery import Client
    from zkdiscovery.bridges import Source


def eureka(
    ctx: typer.Context,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="URLs of the servers with commas between them, such as http://eureka.example:8761/eureka. They name"
            " the source: all bridges of one Eureka take the same ones.",
            envvar="EUREKA_CLIENT_SERVICEURL_DEFAULTZONE",
            show_default=False,
        ),
    ],
    *,
    export: Annotated[bool, typer.Option("--export", help="Register our instances in Eureka, too.")] = False,
) -> None:
    """Follow the instances of a Eureka until Ctrl-C or SIGTERM.

    A URL with a password belongs into the environment, where other users of the machine don't see it.
    """
    from zkdiscovery.bridges.eureka import EurekaSource, ExportingEurekaSource  # noqa: PLC0415 - loads all of the SDK
    from zkdiscovery.bridges.registry import registry_id  # noqa: PLC0415 - loaded by the above

    cli: Cli = ctx.obj

    def make(client: Client) -> list[Source]:
        if not export:
            return [EurekaSource(url)]
        return [ExportingEurekaSource(lambda: registry_id(client.slot.current()), url)]

    run_bridges(cli, make)
