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
from zkdiscovery.errors import AccessDenied, InvalidInstance, RegistrationConflict

if TYPE_CHECKING:
    from zkdiscovery import Registration

_POLL = 0.2  # seconds between two looks at the status, whose changes `on_change` does not report


class ReadyWhen(StrEnum):
    """The moment from which on the instance is UP."""

    NOW = "now"
    LISTENING = "listening"


class OnConflict(StrEnum):
    """The reaction to another process that has the id."""

    REPLACE = "replace"
    WAIT = "wait"
    REFUSE = "refuse"
    SHARE = "share"


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
        typer.Option(help="Seconds to drain before it deregisters, for calls under way.", min=0.0, max=86_400.0),
    ] = 0.0,
    on_conflict: Annotated[
        OnConflict,
        typer.Option(
            help="If another process has the id: take it over, wait until it is free, end with exit code 6, or"
            " share it with other processes of this machine that share."
        ),
    ] = OnConflict.REPLACE,
) -> None:
    """Register an instance until Ctrl-C or SIGTERM, then drain and deregister it.

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
        printer = _StatePrinter(cli, registration)
        changed = threading.Event()
        registration.on_change(lambda _: changed.set())
        try:
            cli.await_connection(client)
            while True:
                changed.clear()
                printer.print_changes()
                changed.wait(_POLL)
        except (KeyboardInterrupt, Terminated):
            cli.say(f"draining for {drain_delay:g} s, then deregistering" if drain_delay else "deregistering")
            client.drain()
            printer.print_changes()
            raise


class _StatePrinter:
    """Prints each change of a registration."""

    def __init__(self, cli: Cli, registration: Registration) -> None:
        self._cli = cli
        self._registration = registration
        self._printed: object = None

    def print_changes(self) -> None:
        """Print the state if it has changed since the last call.

        Raises:
            RegistrationConflict: another process has the id; says what to do here.
            AccessDenied: an ACL forbids it.
            InvalidInstance: this machine has no such address.
        """
        registration = self._registration
        state, error, instance = registration.state, registration.error, registration.instance
        if (state, error, instance) == self._printed:
            return
        self._printed = state, error, instance
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
        if isinstance(error, (AccessDenied, InvalidInstance)):
            raise error
