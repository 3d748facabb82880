"""`lock`: a command that runs only while this process holds a lock.

Guarantees, T being the session timeout:
    - The command and what it has started are gone before the hold's deadline, so before anybody else can hold the
      lock by the expiry of our session. That holds as well if this process is killed or stopped.
    - It gets SIGTERM `kill_after` seconds before it gets SIGKILL.
    - The lock is released after nothing of the command is left.
    - A signal that comes while we wait for the lock ends us; later ones go to the command's process group.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from zkdiscovery.cli.commands import FENCE, CommandLine, not_started, parse_duration, require_program
from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.exits import ExitCode, Terminated
from zkdiscovery.cli.values import check_seconds
from zkdiscovery.errors import LockTimeout
from zkdiscovery.supervise import Child, Signals, Terminal, lease_now, reap_orphans, supervise

if TYPE_CHECKING:
    from zkdiscovery import Client
    from zkdiscovery.threads import Monitor
    from zkdiscovery.znodes import Hold

# All of the session timeout T:
_LONGEST = 0.3  # that `--kill-after` may be: a hold lasts so long at its beginning
_DEFAULT = 0.2  # that it is if it is not given
_MARGIN = 0.02  # from SIGKILL to the deadline of the hold, for processes to be gone
_LOOKS = 0.1  # between two looks at the hold, because a sleep takes no account of the time that a machine is suspended
_SPARE = 0.05  # that a hold lasts longer than from SIGTERM to its end when the command starts

_SAME = 0.001  # seconds that two computations of one deadline may differ by


def lock(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the lock.", show_default=False)],
    command: CommandLine,
    *,
    kill_after: Annotated[
        float | None,
        typer.Option(
            help="Seconds from SIGTERM to SIGKILL when the lock is about to be lost, at most 0.3 of the session"
            " timeout; 0.2 of it if not given.",
            metavar="SECONDS",
            parser=parse_duration,
        ),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            help="Seconds to wait for the lock, then exit code 6; without a limit if not given.",
            metavar="SECONDS",
            callback=check_seconds,
        ),
    ] = None,
    skip_if_held: Annotated[
        bool, typer.Option("--skip-if-held", help="If another holds the lock, don't run the command; exit code 0.")
    ] = False,
) -> None:
    """Run a command while this process holds a lock.

    The exit code is that of the command, 128+N if signal N ended it; 7 if the lock was lost and the command therefore
    ended. Its environment has ZKDISCOVERY_FENCE, a number that is larger for each later holder.
    """
    cli: Cli = ctx.obj
    require_program(cli, command)
    signal.signal(signal.SIGCHLD, lambda *_: reap_orphans())  # those that end while we wait
    with cli.connected() as client:
        longest = _LONGEST * client.session_timeout
        if kill_after is not None and kill_after > longest:
            raise typer.BadParameter(
                f"must be at most {longest:g} s, 0.3 of the session timeout of {client.session_timeout:g} s: a hold"
                " may last no longer when it begins",
                param_hint="--kill-after",
            )
        grace = _DEFAULT * client.session_timeout if kill_after is None else kill_after
        cli.follow_connection()
        with _held(cli, client, name, wait, skip_if_held=skip_if_held) as hold:
            if hold is None:
                cli.say(f"the lock {name!r} is held by another; skipped")
                return
            renewals = client.slot.current().session.leases.changed
            code = _Run(cli, name, hold, renewals, grace, client.session_timeout).run(command)
    raise typer.Exit(code)


@contextmanager
def _held(cli: Cli, client: Client, name: str, wait: float | None, *, skip_if_held: bool) -> Iterator[Hold | None]:
    """Hold the lock for the time of the block; None if another holds it and we shall not wait."""
    from zkdiscovery import State  # noqa: PLC0415 - loaded by the client

    lock = client.lock(name)
    lock.on_release_requested(lambda _: cli.say(f"somebody asks for the release of the lock {name!r}"))
    try:
        hold = lock.try_acquire(cli.timeout) if skip_if_held else lock.acquire(wait)
    except LockTimeout as error:
        if skip_if_held or client.state is not State.CONNECTED:
            raise
        cli.fail(str(error))
        raise typer.Exit(ExitCode.CONFLICT) from None
    try:
        yield hold
    finally:
        if hold is not None:
            hold.release()  # done by the time that the client is closed


class _Run:
    """One command below one hold."""

    def __init__(self, cli: Cli, name: str, hold: Hold, renewals: Monitor, grace: float, timeout: float) -> None:
        self._cli = cli
        self._name = name
        self._hold = hold
        self._grace = grace
        self._margin = _MARGIN * timeout
        self._spare = _SPARE * timeout
        self._longest = _LOOKS * timeout
        self._renewals = renewals
        self._given = 0.0  # the deadline that the guardian has
        self._ending: str | None = None  # why the command is ended, if that is because of the hold

    def run(self, argv: list[str]) -> int:
        """Run the command; the exit code.

        Raises:
            HoldLost: the hold was lost before the command began.
        """
        with Signals() as signals, ExitStack() as stack:
            self._renewals.add_waker(signals.wake)
            stack.callback(self._renewals.remove_waker, signals.wake)
            self._ripen(signals)
            terminal = Terminal.find()
            self._given = self._deadline()
            try:
                child = Child(
                    argv, env=os.environ | {FENCE: str(self._hold.fence)}, deadline=self._given,
                    grace=self._grace, terminal=terminal,
                )  # fmt: skip
            except OSError as error:
                raise not_started(self._cli, argv, error) from None
            with child:
                ended = supervise(child, signals, terminal=terminal, tick=partial(self._tick, child))
        if ended.status == -signal.SIGKILL and lease_now() >= self._given:  # the guardian did it while we stood still
            self._note_loss()
        if self._ending is None:
            return ended.code
        self._cli.fail(f"the command was ended before its time: {self._ending}")
        return ExitCode.LOST

    def _ripen(self, signals: Signals) -> None:
        """Wait until the hold lasts for longer than ending the command takes."""
        while not self._hold.lost and self._hold.remaining < self._grace + self._margin + self._spare:
            select.select([signals], [], [], self._longest)
            self._heed(signals)
        self._heed(signals)
        self._hold.check()

    def _heed(self, signals: Signals) -> None:
        """End as a signal wants it while there is no command."""
        for number in signals.read():
            if number not in {signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH, signal.SIGTSTP}:
                raise Terminated(number)

    def _deadline(self) -> float:
        """The latest moment of SIGKILL, in seconds of the lease clock."""
        # The clock comes first: if we are stopped between the two, the deadline is too early, not too late.
        now = lease_now()
        return now + self._hold.remaining - self._margin

    def _tick(self, child: Child) -> float:
        """Renew the deadline of the guardian, or end the command. Return the seconds until the next look."""
        deadline = self._deadline()
        if self._hold.lost or lease_now() >= self._given:
            self._note_loss()
            child.kill()
            return self._margin  # until the next round
        if self._ending is None:
            if deadline - lease_now() <= self._grace:
                self._ending = f"the lock {self._name!r} was about to be lost, because ZooKeeper did not renew it"
                self._give(child, deadline)
                child.signal(signal.SIGTERM)
                child.signal(signal.SIGCONT)
            elif abs(deadline - self._given) > _SAME:
                self._give(child, deadline)
        left = self._given - lease_now() - (self._grace if self._ending is None else 0.0)
        return min(self._longest, max(0.0, left))

    def _note_loss(self) -> None:
        reason = self._hold.reason or "the session was not renewed in time"
        self._ending = self._ending or f"the lock {self._name!r} was lost: {reason}"

    def _give(self, child: Child, deadline: float) -> None:
        self._given = deadline
        child.set_deadline(deadline)
