"""Signals: leave ZooKeeper, then do what the process did before.

Threads: Python runs signal handlers on the main thread, between two instructions, where any lock may be held. Ours
takes no lock but to start a thread, and returns. So the main thread goes on, and serves what still comes in while the
instances drain. When they are out, the thread sends the signal once more, and the handler of before has its turn on
the main thread. If the main thread ends meanwhile, the interpreter's end waits for the clients.

Order, if there was a handler: the instances drain and the terms end; then the handler is called. Views, calls and
sessions go on, because the server that installed the handler finishes its requests now. The clients close when the
program closes them, or with the interpreter. If there was none, the clients close, and then the process ends.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterable
from functools import partial
from types import FrameType
from typing import Any, Self

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.lifecycle.ending import DEFAULT, Default, HasSlot, Level, end, time_needed
from zkdiscovery.lifecycle.interrupts import is_in_a_call
from zkdiscovery.lifecycle.turns import Turn
from zkdiscovery.threads import start_thread
from zkdiscovery.validation import check_timeout

log = logging.getLogger("zkdiscovery.lifecycle")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
TURN = 1.0  # seconds that the main thread gets for its turn, before it is called again

DEFAULT_HANDLERS = (signal.SIG_DFL, signal.default_int_handler)


class close_on_signals:  # noqa: N801 - reads as a function: `with close_on_signals(client):`
    """On SIGTERM or SIGINT drain the clients, then let the signal do what it did before.

    In effect from the call on, until `restore()` or the end of the `with` block. Must be called on the main thread,
    and after whatever else installs handlers. For web servers `zkdiscovery.integrations` sees to that.

    Where a handler was installed before, it is called once the instances are out and the terms are over. Views, calls
    and sessions stay open for the requests that are under way; close the clients when those are done. Where there was
    none, the clients close, and the process ends as it would have without us: by the signal, by KeyboardInterrupt for
    SIGINT, or, as the first process of a container, with the status 128 + the signal's number.

    A signal that is ignored stays ignored. A second signal meanwhile proceeds at once.

    Args:
        clients: clients to drain or close, side by side.
        timeout: seconds in all, as in `Client.close`. With the default, closing adds at most 8 s to the end of the
            process, or 3 s more than the longest `drain_delay`.
        signals: the signals.

    Raises:
        ValueError: not on the main thread.
    """

    def __init__(
        self, *clients: HasSlot, timeout: float | Default | None = DEFAULT, signals: Iterable[signal.Signals] = SIGNALS
    ) -> None:
        self._slots = [client.slot for client in clients]
        self._timeout = None if timeout is DEFAULT else check_timeout(timeout)
        self._restored = False
        self.forked()
        self._before: dict[int, Any] = {}
        _all.add(self)
        for number in signals:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)

    def forked(self) -> None:
        """In a forked child: nobody handles a signal of the parent, so the next one is the first."""
        self._first = threading.Lock()  # taken by the first signal, without waiting
        self._proceeded = False
        self._turn: Turn | None = None  # of the first signal

    @property
    def signalled(self) -> bool:
        """True once a signal has come."""
        return self._first.locked()

    def restore(self) -> None:
        """Put the earlier handlers back. Idempotent; main thread only.

        A handler that was installed later stays. If it calls ours, ours calls the earlier one.
        """
        if self._restored:
            return
        self._restored = True
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.restore()

    # -- the main thread --

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._restored:  # called by a handler that was installed later
            self._call_before(number, frame)
            return
        if not self._first.acquire(blocking=False):
            # All is done, and the signal sent again by us; or sent again by somebody who does not want to wait.
            self._proceed(number, frame)
            return
        self._turn = Turn()
        try:
            # A daemon: starting another kind takes a lock that a join() under way may hold.
            start_thread(partial(self._end, number), "zkdiscovery-closing")
        except NoThreadAvailable as error:  # from Python 3.12 on also while the interpreter ends
            if not is_in_a_call(frame):
                self._end(number)
            elif threading.main_thread().is_alive():
                log.error("%s, and the clients stay open: %s", _name(number), error)  # noqa: TRY400
                self._proceed(number, frame)
            # Else the interpreter's end is closing the clients already.

    def _proceed(self, number: int, frame: FrameType | None) -> None:
        """Let the handler of before have its turn."""
        self._proceeded = True
        if self._turn is not None:
            self._turn.over()
        for slot in self._slots:
            slot.ending.abandon()
        on_top = signal.getsignal(number) != self._handle and not self._restored
        self.restore()
        if on_top:  # it would have the signal again, and call us again
            self._call_before(number, frame)
            return
        by_default = signal.getsignal(number) is signal.SIG_DFL
        signal.raise_signal(number)
        if by_default:
            # Still here: the kernel drops what ends others by default for the first process of a PID namespace.
            os._exit(128 + number)

    def _call_before(self, number: int, frame: FrameType | None) -> None:
        before = self._before[number]
        if callable(before):
            before(number, frame)
            return
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        # Still here: the kernel drops what ends others by default for the first process of a PID namespace.
        os._exit(128 + number)

    # -- the closing thread --

    def _end(self, number: int) -> None:
        before = self._before.get(number)
        level = Level.CLOSED if before in DEFAULT_HANDLERS else Level.DRAINED
        log.info("%s: %s", _name(number), "closing" if level is Level.CLOSED else "draining")
        try:
            # Not in the handler, because it takes locks that the main thread may hold.
            limit = time_needed(self._slots) if self._timeout is None else self._timeout
            if self._turn is not None:
                self._turn.expect(limit + 2 * TURN)
            end(self._slots, level, self._timeout, process=True)
        except Exception:
            log.exception("ending a client failed; the process ends all the same")
        for slot in self._slots:  # what other threads are ending
            slot.ending.wait()
        while not self._proceeded:
            restored = self._restored
            # To the main thread, because handlers are its own. It may wait in a system call, which this interrupts; one
            # that comes just before the call does not, so it is sent again.
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            if restored:  # the handler of before was called just now, and can't tell us so
                return
            time.sleep(TURN)
            if before is signal.SIG_DFL:
                os._exit(128 + number)  # the main thread is in other code than Python's; by default nobody asks it


def _name(number: int) -> str:
    return signal.Signals(number).name


_all: weakref.WeakSet[close_on_signals] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_all):
        each.forked()


os.register_at_fork(after_in_child=_after_fork)
