"""A command that is registered for as long as it runs.

Guarantees:
    - The command runs whatever becomes of ZooKeeper.
    - SIGTERM, SIGINT and SIGQUIT take the instance out of ZooKeeper before they reach the command: DRAINING, the drain
      delay, the deletion. Where ZooKeeper does not answer, this takes as long as `Client.drain` may take. A second one
      reaches the command at once. Other signals are passed on at once.
    - `kill_after` seconds after such a signal has reached the command, everything that it has started is killed.
    - A command that ends is deregistered at once, while what it has started may still run.
    - The end of this process, however it comes, ends the command: it gets SIGTERM at once, and SIGKILL `kill_after`
      seconds later (Linux). Its entry in ZooKeeper goes with the session.

Threads: the main thread supervises. `zkdiscovery-draining` waits for ZooKeeper and for the drain delay, so that signals
and the end of the command are noticed meanwhile.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.supervise import Child, Signals, Terminal, supervise
from zkdiscovery.threads import start_thread

if TYPE_CHECKING:
    from zkdiscovery.client import Client
    from zkdiscovery.model import Instance
    from zkdiscovery.registration import Registration

# The variables that tell a command how it is registered.
SERVICE, ID, ADDRESS = VARIABLES = (
    "ZKDISCOVERY_SERVICE",
    "ZKDISCOVERY_INSTANCE_ID",
    "ZKDISCOVERY_INSTANCE_ADDRESS",
)

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
_LEAVING = 5.0  # seconds that ZooKeeper may take for the deregistration
_LEAST = 0.25  # seconds of these that are left after a drain


def run_registered(
    client: Client,
    registration: Registration,
    argv: list[str],
    *,
    kill_after: float,
    warn: Callable[[str], object],
) -> int:
    """Run a command, and deregister when it ends. Main thread only.

    Args:
        client: the client of the registration, and of nothing else.
        registration: what stands for the command.
        argv: the program, searched in PATH, and its arguments.
        kill_after: seconds from the signal that ends the command to SIGKILL.
        warn: told that the command was killed.

    Returns:
        The exit code of the command as shells have it: 128+N if signal N has ended it.

    Raises:
        OSError: it can't be started.
    """
    environment = os.environ | _variables(registration.instance)
    with Signals() as signals:
        terminal = Terminal.find()
        with Child(argv, env=environment, grace=kill_after, terminal=terminal) as child:
            end = _End(client, registration, child, signals, kill_after)
            ended = supervise(
                child, signals, terminal=terminal, tick=end.tick, forward=end.forward, on_exit=end.deregister
            )
            end.deregister()
    if child.was_killed:
        warn(killed_after(kill_after))
    return ended.code


def killed_after(seconds: float) -> str:
    """Say that a command was killed because it did not end."""
    return f"the command was killed, because it had not ended {seconds:g} s after it was told to"


def _variables(instance: Instance) -> Mapping[str, str]:
    return {SERVICE: instance.service, ID: instance.id, ADDRESS: instance.netloc}


class _End:
    """The order in which a command and its registration end. The main thread calls it."""

    def __init__(
        self, client: Client, registration: Registration, child: Child, signals: Signals, kill_after: float
    ) -> None:
        self._client = client
        self._registration = registration
        self._child = child
        self._signals = signals
        self._kill_after = kill_after
        self._draining: threading.Thread | None = None
        self._drained = threading.Event()
        self._begun = 0.0  # when the drain has begun, monotonic seconds
        self._waiting: int | None = None  # the signal that the command gets after the drain
        self._deregistered = False

    def forward(self, number: int) -> None:
        """Pass a signal on to the command, now or after the drain."""
        if number not in STOPPING:
            self._child.signal(number)
        elif self._draining is None:
            self._waiting = number
            self._begun = time.monotonic()
            try:
                self._draining = start_thread(self._drain, "zkdiscovery-draining")
            except NoThreadAvailable:  # then it is deregistered when it has ended
                self._waiting = None
                self._child.stop(number, self._kill_after)
        else:
            self._waiting = None
            self._child.stop(number, self._kill_after)

    def tick(self) -> None:
        """Pass on the signal that has waited for the drain."""
        if self._waiting is not None and self._drained.is_set():
            number, self._waiting = self._waiting, None
            self._child.stop(number, self._kill_after)

    def deregister(self) -> None:
        """Deregister without a delay, because the command has ended. Waits for ZooKeeper, with a limit."""
        if self._deregistered:
            return
        self._deregistered = True
        if self._draining is None:
            self._registration.drain(0.0, _LEAVING)
        elif not self._drained.is_set():
            self._registration.drain(0.0, max(_LEAST, _LEAVING - (time.monotonic() - self._begun)))
            self._draining.join(_LEAVING)  # which uses the signals

    def _drain(self) -> None:
        try:
            self._client.drain()
        finally:
            self._drained.set()
            self._signals.wake()
