"""`bridge docker`: follow a Docker engine, and the Swarm that it manages."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from zkdiscovery.cli.bridge.run import run_bridges
from zkdiscovery.cli.context import Cli

if TYPE_CHECKING:
    from zkdiscovery import Client
    from zkdiscovery.bridges import Source

_RETRY = 2.0  # seconds between two questions to an engine that does not answer


def docker(
    ctx: typer.Context,
    *,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address of the engine's machine, for published ports and `--network host`: a name, an address, an"
            " interface (if:eth1) or a network (10.0.0.0/8); found out if not given.",
            metavar="ADDRESS",
        ),
    ] = None,
) -> None:
    """Register containers and Swarm services that have the label zkdiscovery.name.

    The engine is that of DOCKER_HOST, or of the current context. If it manages a Swarm, the Swarm's services are
    followed as well.
    """
    cli: Cli = ctx.obj
    if find_spec("docker") is None:
        raise typer.BadParameter("this needs the extra: pip install 'zkdiscovery[cli,docker]'")
    run_bridges(cli, lambda client: _found(cli, client, host))


def _found(cli: Cli, client: Client, host: str | None) -> list[Source]:
    """Return the sources that the engine is, once it answers."""
    from zkdiscovery.bridges import SourceRefused, SourceUnavailable  # noqa: PLC0415 - loads all of the SDK
    from zkdiscovery.bridges.docker.place import MachineAddress  # noqa: PLC0415
    from zkdiscovery.bridges.docker.source import sources  # noqa: PLC0415
    from zkdiscovery.registration.container import runtime  # noqa: PLC0415

    session = client.slot.current().session
    address = MachineAddress(session.known_addresses, host)
    told = ""
    while True:
        try:
            return sources(address, runtime())
        except (SourceUnavailable, SourceRefused) as error:
            if str(error) != told:
                cli.warn(f"{error}; trying on")
            told = str(error)
            time.sleep(_RETRY)
