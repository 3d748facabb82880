"""`run`: a command that is registered for as long as it runs."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zkdiscovery.cli.check_options import Checks, Failures, Grace, Interval, Passes, Timeout, parse_checks
from zkdiscovery.cli.commands import CommandLine, KillAfter, keep_exit_code, not_started, require_program
from zkdiscovery.cli.context import Cli
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
from zkdiscovery.cli.values import ServiceName, parse_pairs
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.sidecar import ReadyFile, run_registered
from zkdiscovery.supervise import reap_orphans

if TYPE_CHECKING:
    from zkdiscovery import Registration

_CERTAIN = 1.0  # seconds that the command waits for a certain address


def run(
    ctx: typer.Context,
    name: ServiceName,
    command: CommandLine,
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
    check: Checks = None,
    check_interval: Interval = None,
    check_timeout: Timeout = None,
    check_failures: Failures = None,
    check_passes: Passes = None,
    check_grace: Grace = None,
    drain_delay: DrainDelay = 1.0,
    kill_after: KillAfter = 30.0,
    on_conflict: OnConflictOption = OnConflict.REPLACE,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            help="File that exists while it is ready: registered once, UP, and not told to end.", dir_okay=False
        ),
    ] = None,
) -> None:
    """Run a service in any language, registered for as long as it runs.

    It is UP while its checks pass; without --check, while its port accepts connections. SIGTERM, SIGINT and SIGQUIT
    first drain and deregister it, then reach it. The exit code is that of the command, 128+N if signal N ended it. Its
    environment has ZKDISCOVERY_SERVICE, ZKDISCOVERY_INSTANCE_ID and ZKDISCOVERY_INSTANCE_ADDRESS.

    While ZooKeeper can't be reached, the command runs all the same.
    """
    cli: Cli = ctx.obj
    require_program(cli, command)
    checks = parse_checks(
        check or ["tcp"], interval=check_interval, timeout=check_timeout, failure_threshold=check_failures,
        success_threshold=check_passes, grace=check_grace,
    )  # fmt: skip
    ready = _open(ready_file) if ready_file is not None else None
    with ExitStack() as stack:
        client = stack.enter_context(cli.client())
        registration = client.register(
            name, port, host=host, listen_port=listen_port, id=id, weight=weight, zone=zone, version=version,
            tags=tag or (), metadata=parse_pairs(meta or (), "--meta"), ready="listening", drain_delay=drain_delay,
            on_conflict=on_conflict.value, checks=checks,
        )  # fmt: skip
        cli.follow_connection()
        signal.signal(signal.SIGCHLD, lambda *_: reap_orphans())  # those that end before the command starts
        if ready is not None:
            stack.callback(ready.remove)
        follower = _Follower(cli, ready)
        registration.on_change(follower)
        follower(registration)  # with what has changed before
        with suppress(ZkDiscoveryError):  # told by the reports
            registration.wait_registered(_CERTAIN)
        try:
            code = run_registered(client, registration, command, kill_after=kill_after, warn=cli.warn)
        except OSError as error:
            raise not_started(cli, command, error) from None
        keep_exit_code()
    raise typer.Exit(code)


def _open(path: Path) -> ReadyFile:
    try:
        return ReadyFile(path)
    except OSError as error:
        raise typer.BadParameter(f"can't write {str(path)!r}: {error.strerror}", param_hint="--ready-file") from None


class _Follower:
    """Says on stderr what becomes of the registration, and keeps the file.

    Runs on the client's thread of callbacks, and once on the main thread.
    """

    def __init__(self, cli: Cli, ready: ReadyFile | None) -> None:
        self._cli = cli
        self._ready = ready
        self._said = ""
        self._lock = threading.Lock()  # so that whoever is last has read the last state

    def __call__(self, registration: Registration) -> None:
        with self._lock:
            self._report(registration)
            if self._ready is not None:
                try:
                    self._ready.follow(registration)
                except OSError as error:
                    self._cli.warn(f"the file of --ready-file can't be kept: {error}")

    def _report(self, registration: Registration) -> None:
        instance, error = registration.instance, registration.error
        said = f"{instance.service}: {instance.id} at {instance.netloc}: {registration.state}"
        if error is not None:
            said += f": {error}"
        elif registration.state == "REGISTERED":
            said += f", {instance.status}"
        if said != self._said:
            self._said = said
            (self._cli.say if error is None else self._cli.warn)(said)
