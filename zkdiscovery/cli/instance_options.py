"""The options that describe an instance, as `register` and `run` have them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class OnConflict(StrEnum):
    """The reaction to another process that has the id."""

    REPLACE = "replace"
    WAIT = "wait"
    REFUSE = "refuse"
    SHARE = "share"


def _check_port(value: int) -> int:
    if value == 0:  # in a program, that of a socket which is not bound yet
        raise typer.BadParameter("port must be an integer from 1 to 65535: got 0")
    return value


Port = Annotated[int, typer.Option(help="TCP port that clients call.", callback=_check_port, show_default=False)]
Host = Annotated[
    str | None,
    typer.Option(
        help="What clients can reach: a name, an address, an interface (if:eth1) or a network (10.0.0.0/8);"
        " found out if not given, see `doctor`."
    ),
]
ListenPort = Annotated[
    int | None, typer.Option(help="Port at which the service listens on this machine; that of --port if not given.")
]
Id = Annotated[str | None, typer.Option(help="Unique within the service; HOSTNAME@HOST:PORT if not given.")]
Weight = Annotated[float, typer.Option(help="Share of the calls, relative to the others.")]
Zone = Annotated[str | None, typer.Option(help="Failure domain, e.g. eu-1a.")]
Version = Annotated[str | None, typer.Option(help="Version of the service.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A label; may be given again.")]
Metadata = Annotated[
    list[str] | None, typer.Option("--meta", help="Further data; may be given again.", metavar="KEY=VALUE")
]
DrainDelay = Annotated[
    float, typer.Option(help="Seconds to drain before it deregisters, for calls under way.", min=0.0, max=86_400.0)
]
OnConflictOption = Annotated[
    OnConflict,
    typer.Option(
        help="If another process has the id: take it over, wait until it is free, give up (`register` ends with exit"
        " code 6), or share it with other processes of this machine that share."
    ),
]
