"""`demo` and `dev`: a ZooKeeper to look at and to work with."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.output import write
from zkdiscovery.errors import NoServerForTests

_USUAL_PORT = 2181  # the default of clients
_ROUND = 1.0  # seconds between two looks at the server


class Source(StrEnum):
    """The source of the server; see `zkdiscovery.testing.zookeeper_server`."""

    AUTO = "auto"
    HOSTS = "hosts"
    CONTAINER = "container"
    LOCAL = "local"


_Source = Annotated[
    Source,
    typer.Option(
        help="Where ZooKeeper comes from: the servers of ZKDISCOVERY_TEST_HOSTS, a container, or what is installed"
        " here; auto tries them in this order."
    ),
]


def demo(
    source: _Source = Source.AUTO,
    svg: Annotated[
        Path | None, typer.Option(help="Write a picture of it to this file.", dir_okay=False, hidden=True)
    ] = None,
) -> None:
    """Watch services register, be discovered and called, and leaders be elected, on a real ZooKeeper: a minute."""
    from zkdiscovery.demo import main  # noqa: PLC0415 - loads all of the SDK

    raise typer.Exit(main(source.value, svg))


def dev(
    ctx: typer.Context,
    source: _Source = Source.AUTO,
    port: Annotated[
        int | None,
        typer.Option(
            help="TCP port to listen on; if not given, 2181 where it is free, or else any other.", min=1, max=65535
        ),
    ] = None,
) -> None:
    """Run a ZooKeeper in the foreground until Ctrl-C or SIGTERM; its data go with it.

    What to set in other terminals is printed to stdout; the namespace is a suggestion.
    """
    from zkdiscovery.testing import zookeeper_server  # noqa: PLC0415 - loads all of the SDK

    cli: Cli = ctx.obj
    with ExitStack() as stack:
        with cli.working("starting ZooKeeper"):
            server = stack.enter_context(
                zookeeper_server(source=source.value, port=port or usual_port(cli), notify=cli.say)
            )
        cli.say(f"ZooKeeper at {server.hosts}: {server.source}; Ctrl-C ends it. In other terminals:")
        write(f"export ZKDISCOVERY_HOSTS={server.hosts}\nexport ZKDISCOVERY_NAMESPACE=/shop\n")
        while not server.wait_ended(_ROUND):
            pass
        raise NoServerForTests(f"the server at {server.hosts} has ended by itself", server=server.hosts)


def usual_port(cli: Cli) -> int | None:
    """The port that clients expect, unless somebody else has it."""
    from zkdiscovery.testing.ports import check_port  # noqa: PLC0415 - loads all of the SDK

    try:
        check_port(_USUAL_PORT)
    except NoServerForTests:
        cli.say(f"the port {_USUAL_PORT} is taken; --port chooses another")
        return None
    return _USUAL_PORT
