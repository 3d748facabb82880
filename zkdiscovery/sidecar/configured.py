"""A command whose environment is a configuration, and that is restarted or signalled when the configuration changes.

Guarantees:
    - The command gets the variables of one reading of all documents. It runs on whatever becomes of ZooKeeper.
    - A revision that can't be an environment changes nothing. A revision that changes no variable disturbs nobody.
    - A restart sends SIGTERM, and SIGKILL `kill_after` seconds later. The next one starts after nothing of the former
      is left, with the newest variables: what has changed meanwhile needs no further restart.
    - SIGTERM, SIGINT and SIGQUIT reach the command at once; then it is killed in time, and never restarted. Other
      signals are passed on.
    - A command that ends by itself is not restarted.
    - The end of this process, however it comes, ends the command: it gets SIGTERM at once, and SIGKILL `kill_after`
      seconds later (Linux).

Threads: the main thread supervises. The client's thread of callbacks wakes it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zkdiscovery.sidecar.registered import STOPPING, killed_after
from zkdiscovery.supervise import Child, Signals, Terminal, reap_orphans, supervise

if TYPE_CHECKING:
    from zkdiscovery.config import Config

Variables = dict[str, str]

_MOST_NAMES = 5  # in one message


class ConfiguredCommand:
    """The command.

    Args:
        config: its variables. It has a value.
        argv: the program, searched in PATH, and its arguments.
        environment: the variables that it has besides; those of the configuration win.
        reload: the signal that tells it of a change; None: it is restarted.
        kill_after: seconds from the signal that ends the command to SIGKILL.
        say: told of restarts and signals.
        warn: told that the command was killed.
    """

    def __init__(
        self,
        config: Config[Variables],
        argv: list[str],
        *,
        environment: Mapping[str, str],
        reload: int | None,
        kill_after: float,
        say: Callable[[str], object],
        warn: Callable[[str], object],
    ) -> None:
        self._config = config
        self._argv = argv
        self._environment = environment
        self._reload = reload
        self._kill_after = kill_after
        self._say = say
        self._warn = warn
        self._variables: Variables = {}  # that the command has, or was told of
        self._restarting = False
        self._stopped = False  # by a signal

    def run(self) -> int:
        """Run it until it ends by itself or by a signal. Main thread only.

        Returns:
            The exit code of the command as shells have it: 128+N if signal N has ended it.

        Raises:
            OSError: it can't be started.
        """
        with Signals() as signals, self._config.on_change(lambda _: signals.wake()):
            while True:
                code = self._run_once(signals)
                if not self._restarting or self._stopped:
                    return code
                stopping = [number for number in signals.read() if number in STOPPING]
                reap_orphans()  # after that, because SIGCHLD may have been among them
                if stopping:
                    return 128 + stopping[0]

    def _run_once(self, signals: Signals) -> int:
        self._restarting = False
        self._variables = self._config.value
        terminal = Terminal.find()
        environment = {**self._environment, **self._variables}
        with Child(self._argv, env=environment, grace=self._kill_after, terminal=terminal) as child:

            def forward(number: int) -> None:
                if number in STOPPING:
                    self._stopped = True
                    child.stop(number, self._kill_after)
                else:
                    child.signal(number)

            ended = supervise(child, signals, terminal=terminal, tick=lambda: self._follow(child), forward=forward)
        if child.was_killed:
            self._warn(killed_after(self._kill_after))
        return ended.code

    def _follow(self, child: Child) -> None:
        """Restart or signal the command if its variables have changed."""
        variables = self._config.value
        if self._stopped or self._restarting or variables == self._variables:
            return
        what = f"{self._origin()}: {_changed(self._variables, variables)}"
        if self._reload is None:
            self._restarting = True
            self._say(f"{what}; restarting {self._argv[0]}")
            child.stop(signal.SIGTERM, self._kill_after)
        else:
            self._variables = variables
            self._say(f"{what}; sending {signal.Signals(self._reload).name} to {self._argv[0]}")
            child.signal(self._reload)

    def _origin(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in self._config.revisions.items())


def _changed(before: Variables, after: Variables) -> str:
    """Name the variables that differ, without their values."""
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    more = len(names) - _MOST_NAMES
    return f"{', '.join(names[:_MOST_NAMES])}{f' and {more} more' if more > 0 else ''} changed"
