"""Signals: say goodbye, then do what the process did before.

A signal handler of Python runs on the main thread between two instructions, where any lock may be held. So ours takes
none but to start a thread, and returns: the main thread goes on, and serves what still comes in while the instances
drain. When the clients are closed, that thread sends the signal again, and the handler of before has its turn. If the
main thread ends meanwhile, the interpreter's end waits for the clients.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from zkdiscovery.client import Client

log = logging.getLogger("zkdiscovery.lifecycle")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class close_on_signals:  # noqa: N801 - reads as a function: `with close_on_signals(client):`
    """On SIGTERM or SIGINT drain and close the clients, then let the signal do what it did before.

    In effect from the call on, until `restore()` or the end of the `with` block. Must be called on the main thread. A
    signal that is ignored stays ignored. A second signal while the clients are being closed proceeds at once.

    Args:
        clients: clients to close; they are closed side by side.
        timeout: seconds that closing may take.
        signals: the signals.

    Raises:
        ValueError: not on the main thread.
    """

    def __init__(self, *clients: Client, timeout: float = 10.0, signals: Iterable[signal.Signals] = SIGNALS) -> None:
        self._clients = clients
        self._timeout = timeout
        self._first = threading.Lock()  # taken by the first signal, without waiting
        self._before: dict[int, Any] = {}
        for number in signals:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        """Put the earlier handlers back. Idempotent; main thread only."""
        before, self._before = self._before, {}
        for number, handler in before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.restore()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._first.acquire(blocking=False):
            # A daemon: starting another kind takes a lock that a join() under way may hold.
            threading.Thread(target=self._close, args=(number,), name="zkdiscovery-goodbye", daemon=True).start()
        else:
            # Closed, and sent again by us; or sent again by somebody who does not want to wait.
            for client in self._clients:
                client._patience = 0.0
            self.restore()
            signal.raise_signal(number)

    def _close(self, number: int) -> None:
        log.info("closing on %s", signal.Signals(number).name)
        end = time.monotonic() + self._timeout
        threads = [
            threading.Thread(target=client.close, args=(self._timeout,), name="zkdiscovery-goodbye", daemon=True)
            for client in self._clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        # To the main thread, which may wait in a system call: handlers are its own, and this interrupts the call.
        signal.pthread_kill(threading.main_thread().ident or 0, number)
