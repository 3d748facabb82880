"""The loop of a supervisor: signals go to the command, its end comes back; orphans are reaped.

Runs on the main thread, because Python handles signals there.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable

from zkdiscovery.supervise.child import Child, Ended, Exited
from zkdiscovery.supervise.guardian import reap
from zkdiscovery.supervise.limited import claimed_processes
from zkdiscovery.supervise.signals import Signals
from zkdiscovery.supervise.terminal import Terminal


def reap_orphans(*keep: int) -> None:
    """As the first process of a PID namespace, wait for the orphans that have ended, but for `keep`.

    Limited commands are left to those who run them.
    """
    if os.getpid() == 1:
        with claimed_processes() as claimed:
            reap(*keep, *claimed)


def supervise(
    child: Child,
    signals: Signals,
    *,
    terminal: Terminal | None = None,
    tick: Callable[[], float | None] = lambda: None,
    forward: Callable[[int], object] | None = None,
    on_exit: Callable[[], object] = lambda: None,
) -> Ended:
    """Look after a command until nothing of it is left.

    Args:
        child: the command.
        signals: what this process receives.
        terminal: of the command; a command that Ctrl-Z stops stops our group as well, as shells expect it.
        tick: is called after each event and each `signals.wake()`; gives the seconds until it is called again at the
            latest, None: without a limit.
        forward: what is done with a signal; it is sent to the group if not given.
        on_exit: called when the command has ended and something that it has started is left.
    """
    forward = forward or child.signal
    sources: list[Child | Signals] = [child, signals]
    try:
        while True:
            ready = select.select(sources, [], [], tick())[0]
            for number in signals.read():
                if number == signal.SIGCHLD:
                    reap_orphans(*child.processes)
                else:
                    forward(number)
            for event in child.read() if child in ready else ():
                if isinstance(event, Ended):
                    return event
                if isinstance(event, Exited):
                    on_exit()
                elif terminal is not None:
                    _stop_with(child, terminal)
    finally:
        if terminal is not None and terminal.foreground == child.pid:
            terminal.give(os.getpgrp())


def _stop_with(child: Child, terminal: Terminal) -> None:
    """Stop our group, because the command was stopped; go on together."""
    if terminal.foreground == child.pid:
        terminal.give(os.getpgrp())
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.killpg(0, signal.SIGTSTP)  # returns when somebody continues us; at once if nobody could
    signal.signal(signal.SIGTSTP, before)
    if terminal.is_ours:
        terminal.give(child.pid)
    child.signal(signal.SIGCONT)
