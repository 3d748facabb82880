"""`register`: an instance in ZooKeeper for as long as this command runs."""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.exits import Terminated
from zkdiscovery.cli.output import harmless, instance_json, local_time, status_text, write_json_line, write_rendered
from zkdiscovery.cli.values import ServiceName, parse_pairs
from zkdiscovery.errors import AccessDenied, RegistrationConflict

if TYPE_CHECKING:
    from zkdiscovery import Registration

_GLANCE = 0.2  # seconds between two looks at the status: it is memory, and its changes are no news of the state


class ReadyWhen(StrEnum):
    """When the instance is UP."""

    NOW = "now"
    LISTENING = "listening"


class OnConflict(StrEnum):
    """What to do if another process has the id."""

    REPLACE = "replace"
    WAIT = "wait"
    REFUSE = "refuse"


def register(
    ctx: typer.Context,
    name: ServiceName,
    *,
    port: Annotated[int, typer.Option(help="TCP port that clients call.", show_default=False)],
    host: Annotated[
        str | None,
        typer.Option(
            help="What clients can reach: a name, an address, an interface (if:eth1) or a network (10.0.0.0/8);"
            " found out if not given, see `doctor`."
        ),
    ] = None,
    listen_port: Annotated[
        int | None, typer.Option(help="Port at which the service listens on this machine; that of --port if not given.")
    ] = None,
    id: Annotated[str | None, typer.Option(help="Unique within the service; HOSTNAME@HOST:PORT if not given.")] = None,
    weight: Annotated[float, typer.Option(help="Share of the calls, relative to the others.")] = 1.0,
    zone: Annotated[str | None, typer.Option(help="Failure domain, e.g. eu-1a.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the service.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A label; may be given again.")] = None,
    meta: Annotated[
        list[str] | None, typer.Option(help="Further data; may be given again.", metavar="KEY=VALUE")
    ] = None,
    ready: Annotated[
        ReadyWhen, typer.Option(help="UP at once, or only once the port accepts connections.")
    ] = ReadyWhen.NOW,
    drain_delay: Annotated[
        float,
        typer.Option(help="Seconds between the goodbye and the end, for calls under way.", min=0.0, max=86_400.0),
    ] = 0.0,
    on_conflict: Annotated[
        OnConflict,
        typer.Option(help="If another process has the id: take it over, wait until it is free, or end with 6."),
    ] = OnConflict.REPLACE,
) -> None:
    """Register an instance until Ctrl-C or SIGTERM, then drain it and take it out.

    Each change of its state is printed; with -o json, one JSON object a line.

    While ZooKeeper can't be reached, it goes on trying.
    """
    cli: Cli = ctx.obj
    if port == 0:  # in a program, that of a socket which is not bound yet
        raise typer.BadParameter("port must be an integer from 1 to 65535: got 0")
    with cli.client() as client:
        registration = client.register(
            name, port, host=host, listen_port=listen_port, id=id, weight=weight, zone=zone, version=version,
            tags=tag or (), metadata=parse_pairs(meta or (), "--meta"), ready=ready.value, drain_delay=drain_delay,
            on_conflict=on_conflict.value,
        )  # fmt: skip
        teller = _Teller(cli, registration)
        news = threading.Event()
        registration.on_change(lambda _: news.set())
        try:
            cli.await_connection(client)
            while True:
                news.clear()
                teller.tell()
                news.wait(_GLANCE)
        except (KeyboardInterrupt, Terminated):
            cli.say(f"leaving, {drain_delay:g} s after the goodbye" if drain_delay else "leaving")
            client.drain()
            teller.tell()
            raise


class _Teller:
    """Prints what a registration has become, if it has."""

    def __init__(self, cli: Cli, registration: Registration) -> None:
        self._cli = cli
        self._registration = registration
        self._told: object = None

    def tell(self) -> None:
        """Print the state if it is another one than before.

        Raises:
            RegistrationConflict, AccessDenied: another process has the id, or an ACL forbids it; with what to do here.
        """
        registration = self._registration
        state, error, instance = registration.state, registration.error, registration.instance
        if (state, error, instance) == self._told:
            return
        self._told = state, error, instance
        now = time.time()
        if self._cli.json:
            entry = {
                "time": round(now, 3),
                "state": state,
                "error": None if error is None else str(error),
                "instance": instance_json(instance),
            }
            write_json_line(entry)
        else:
            line = Text(f"{local_time(now)}  {state}  {harmless(instance.service)} {harmless(instance.id)}")
            line.append(f" at {harmless(instance.netloc)}  ").append_text(status_text(instance.status))
            line.append(f"  weight {instance.weight:g}")
            if instance.override is not None:
                line.append(f"  override {instance.override}")
            write_rendered(line)
        if isinstance(error, RegistrationConflict):
            raise RegistrationConflict(
                f"another process has the id {instance.id!r} of {instance.service!r}: stop it, give this one another"
                " --id, or see --on-conflict",
                path=error.path,
                server=error.server,
            )
        if isinstance(error, AccessDenied):
            raise error
