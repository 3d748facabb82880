"""Close several clients at once, on one thread and within one limit. An error in one does not stop the others.

A client ends in two levels. A DRAINED client holds nothing in ZooKeeper: its terms are over and its instances are
out, but its views, calls and session go on. A CLOSED client has nothing left.

Each level has two steps: one begins and never waits, the other waits. `end` takes each step for all clients before it
takes the next one, so the clients leave at the same time although one thread ends them. More threads are no option:
from Python 3.12 on none can be started while the interpreter ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from contextlib import nullcontext
from enum import Enum, IntEnum
from functools import partial
from typing import Final, Protocol

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.lifecycle.budget import CLOSE_OVERHEAD, SHORTEST, process_end
from zkdiscovery.lifecycle.closing import ClosingSteps
from zkdiscovery.lifecycle.interrupts import interrupts_a_call
from zkdiscovery.threads import start_thread
from zkdiscovery.validation import check_timeout, deadline_after

log = logging.getLogger("zkdiscovery.lifecycle")

RESERVE = 1.0  # seconds kept for taking instances out after their drain delays, and again for ending the session
DRAIN_GRACE = 0.8 * SHORTEST  # seconds of these for leaving ZooKeeper


class Default(Enum):
    """Stands for a limit that is not given."""

    DEFAULT = "default"


DEFAULT: Final = Default.DEFAULT


class Level(IntEnum):
    """A stage of closing."""

    OPEN = 0
    DRAINED = 1
    CLOSED = 2


def delays_until(deadline: float) -> float:
    """Return when drain delays are cut, so that instances are out at `deadline` (both in monotonic seconds)."""
    return deadline - min(RESERVE, 0.25 * max(0.0, deadline - time.monotonic()))


def time_for(drain_delay: float, close_timeout: float) -> float:
    """Seconds that closing takes at most by default: a long drain delay gets its time, and what comes after it."""
    return max(close_timeout, drain_delay + CLOSE_OVERHEAD)


class Closable(Protocol):
    """The part of a client that `end` closes. Deadlines are monotonic seconds."""

    ending: Ending

    def time_to_end(self) -> float:
        """Seconds that ending may take by default."""

    def begin_drain(self, deadline: float) -> None:
        """Begin to take out what is held in ZooKeeper. Never blocks."""

    def finish_drain(self, deadline: float) -> None:
        """Wait until nothing of it is in ZooKeeper."""

    def begin_close(self, deadline: float) -> None:
        """Close the views, ask for the end of the session. Never blocks."""

    def finish_close(self, deadline: float) -> None:
        """Wait for the end of the session and of all threads."""

    def forked(self) -> None:
        """In a forked child: nothing of the parent's is ours."""


class HasSlot(Protocol):
    """A client."""

    @property
    def slot(self) -> Closable:
        """The slot of the client."""


class Ending:
    """The progress of closing one client, and whether a thread is closing it. Any thread may call.

    Attributes:
        reached: the level that it has reached.
    """

    def __init__(self, reached: Level = Level.OPEN) -> None:
        self._lock = threading.Lock()
        self._wanted = self.reached = reached
        self._busy = False
        self._idle = threading.Event()
        self._idle.set()
        self._until = 0.0  # monotonic seconds; what is under way ends by then

    @property
    def begun(self) -> bool:
        """True once nothing new may be held."""
        return self._wanted > Level.OPEN

    def claim(self, level: Level) -> bool:
        """Want `level`. True if the caller has to see to it; False if it is reached, or another thread will.

        Whoever waits meanwhile gives the caller `SHORTEST` to say by `expect` when that will be.
        """
        with self._lock:
            self._wanted = max(self._wanted, level)
            if self._busy or self._wanted == self.reached:
                return False
            self._busy = True
            self._until = time.monotonic() + SHORTEST
            self._idle.clear()
            return True

    def expect(self, until: float) -> None:
        """Announce that the running close ends by `until` (monotonic seconds)."""
        self._until = until

    def reach(self, level: Level) -> bool:
        """Note that `level` is reached. True if more is wanted; else another thread may go on."""
        with self._lock:
            self.reached = level
            self._busy = busy = self._wanted > level
            if not busy:
                self._idle.set()
        return busy

    def give_up(self) -> None:
        """Let another thread claim what this one could not finish."""
        with self._lock:
            self._busy = False
            self._wanted = self.reached
            self._idle.set()

    def wait(self) -> None:
        """Wait for what is under way on another thread, for as long as that may take."""
        while (left := self._until + RESERVE - time.monotonic()) > 0:
            if self._idle.wait(left):
                return

    def abandon(self) -> None:
        """Stop `wait` from waiting."""
        self._until = 0.0
        self._idle.set()

    def forked(self) -> Ending:
        """In a forked child: what was closed is closed, and nothing is under way."""
        return Ending(Level.CLOSED if self.reached is Level.CLOSED else Level.OPEN)


def time_needed(clients: Iterable[Closable]) -> float:
    """Seconds that ending these clients side by side takes at most by default."""
    return max((client.time_to_end() for client in clients), default=0.0)


def end_client(client: Closable, level: Level, timeout: float | Default | None) -> None:
    """Bring one client to `level`, as its user has asked on this thread.

    In a signal handler that has interrupted a call of the SDK, which may hold what ending needs, it returns at once.
    The client ends on a thread of its own then.
    """
    limit = None if timeout is DEFAULT else check_timeout(timeout)
    if not interrupts_a_call():
        end([client], level, limit)
    else:
        try:
            start_thread(partial(end, [client], level, limit), "zkdiscovery-closing")
        except NoThreadAvailable as error:
            if threading.main_thread().is_alive():  # else the interpreter's end closes all clients itself
                log.error("a client can't be ended in a signal handler: %s", error)  # noqa: TRY400


def end(clients: Iterable[Closable], level: Level, timeout: float | None = None, *, process: bool = False) -> None:
    """Bring clients to `level` within `timeout` seconds in all. What fails for one client stops none of the others.

    A client that another thread is ending is left to that thread, which goes on up to this level. It is not waited
    for, because it may be waiting for us: a term's block may close its client.

    Args:
        clients: what to end.
        level: how far.
        timeout: seconds; None: what the clients need, less what the end of the process has taken already.
        process: this belongs to the end of the process, so later calls have less time.

    Raises:
        BaseException: what a step has raised first, once all steps are taken.
    """
    with process_end.counted() if process else nullcontext():
        mine = [client for client in clients if client.ending.claim(level)]
        try:
            steps = _take_steps(mine, timeout)
        except BaseException:
            for client in mine:
                client.ending.give_up()
            raise
        steps.finish()


def _take_steps(mine: list[Closable], timeout: float | None) -> ClosingSteps:
    if timeout is None:
        needed = time_needed(mine)
        timeout = max(min(SHORTEST, needed), needed - process_end.spent)
    closed = deadline_after(timeout)
    drained = closed - min(RESERVE, 0.2 * timeout)
    for client in mine:
        client.ending.expect(closed)
    steps = ClosingSteps()
    held = [client for client in mine if client.ending.reached is Level.OPEN]
    for client in held:
        steps.take(client, client.begin_drain, drained, DRAIN_GRACE)
    for client in held:
        steps.take(client, client.finish_drain, drained, DRAIN_GRACE)
    left = [client for client in mine if client.ending.reach(Level.DRAINED)]
    for client in left:
        steps.take(client, client.begin_close, closed, SHORTEST)
    for client in left:
        steps.take(client, client.finish_close, closed, SHORTEST)
    for client in left:
        client.ending.reach(Level.CLOSED)
    return steps
