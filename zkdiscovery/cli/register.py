"""`register`: an instance in ZooKeeper for as long as this command runs."""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from zkdiscovery.cli.check_options import Checks, Failures, Grace, Interval, Passes, Timeout, parse_checks
from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.exits import Terminated
from zkdiscovery.cli.instance_options import (
    DrainDelay,
    Host,
    Id,
    ListenPort,
    Metadata,
    OnConflict,
    OnConflictOption,
    Port,
    Tags,
    Version,
    Weight,
    Zone,
)
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


def register(
    ctx: typer.Context,
    name: ServiceName,
    *,
    port: Port,
    host: Host = None,
    listen_port: ListenPort = None,
    id: Id = None,
    weight: Weight = 1.0,
    zone: Zone = None,
    version: Version = None,
    tag: Tags = None,
    meta: Metadata = None,
    ready: Annotated[
        ReadyWhen, typer.Option(help="UP at once, or only once the port accepts connections.")
    ] = ReadyWhen.NOW,
    drain_delay: DrainDelay = 0.0,
    check: Checks = None,
    check_interval: Interval = None,
    check_timeout: Timeout = None,
    check_failures: Failures = None,
    check_passes: Passes = None,
    check_grace: Grace = None,
    deregister_after: Annotated[
        float | None,
        typer.Option(help="Seconds of being DOWN by its checks after which it is deregistered until they pass."),
    ] = None,
    on_conflict: OnConflictOption = OnConflict.REPLACE,
) -> None:
    """Register an instance until Ctrl-C or SIGTERM, then drain and deregister it.

    Each change of its state is printed; with -o json, one JSON object a line.

    While ZooKeeper can't be reached, it goes on trying.
    """
    cli: Cli = ctx.obj
    checks = parse_checks(
        check or [], interval=check_interval, timeout=check_timeout, failure_threshold=check_failures,
        success_threshold=check_passes, grace=check_grace,
    )  # fmt: skip
    with cli.client() as client:
        registration = client.register(
            name, port, host=host, listen_port=listen_port, id=id, weight=weight, zone=zone, version=version,
            tags=tag or (), metadata=parse_pairs(meta or (), "--meta"), ready=ready.value, drain_delay=drain_delay,
            on_conflict=on_conflict.value, deregister_after=deregister_after,
            checks=checks,
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
