"""The stop of a server that serves a client's instances: the instances drain, the server stops, the client closes.

Threads: the main thread installs and restores handlers. On any other thread nothing is installed, because signals are
the main thread's; there the client is left to whoever made it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import FrameType
from typing import Any, Self

from zkdiscovery.client import Client
from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.lifecycle import DEFAULT_HANDLERS, SIGNALS, close_on_signals, delays_until

DRAIN_DELAY = 1.0  # seconds between DRAINING and the deletion: callers hear of it, and the port is still open

_serving: Counter[Client] = Counter()  # the blocks of each client; main thread only


class Linger(Feature):
    """Makes draining take a while, although the client's instance does not become DRAINING because others share it.

    Processes that share a port are stopped together. Each has idle connections of callers, and closing them before
    callers have heard of the last one's DRAINING would lose calls.

    Attributes:
        delay: seconds.
    """

    phase = Phase.OWNED

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self.delay = 0.0
        self._until = 0.0

    def time_to_close(self) -> float:
        return self.delay

    def begin_close(self, deadline: float) -> None:
        self._until = min(time.monotonic() + self.delay, delays_until(deadline))

    def close(self, deadline: float) -> None:
        time.sleep(max(0.0, min(self._until, deadline) - time.monotonic()))


class Stopping:
    """While the block serves, SIGTERM and SIGINT drain the client before they do what they did before.

    Args:
        client: the client.
        by_default: what they do then, where nobody has installed a handler before.
    """

    def __init__(self, client: Client, by_default: Callable[[int], object] | None = None) -> None:
        self._client = client
        self._by_default = by_default
        self._handlers: list[close_on_signals] = []
        self._stack = ExitStack()
        self._last = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            _serving[self._client] += 1
            self._stack.callback(self._leave)
            if self._by_default is not None:
                numbers = [number for number in SIGNALS if signal.getsignal(number) in DEFAULT_HANDLERS]
                self._install(self._by_default, numbers)
            self._drain_first()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _leave(self) -> None:
        _serving[self._client] -= 1
        self._last = _serving[self._client] == 0
        if self._last:
            del _serving[self._client]

    def _drain_first(self) -> None:
        handlers = close_on_signals(self._client)
        self._handlers.append(self._stack.enter_context(handlers))

    @property
    def signalled(self) -> bool:
        """True once a signal has come that ends the process."""
        return any(handlers.signalled for handlers in self._handlers)

    @property
    def ends_client(self) -> bool:
        """After the block: a signal ends the process, and nothing else serves the client's instances."""
        return self.signalled and self._last

    def instead(self, stop: Callable[[int], object]) -> None:
        """Once the client has drained, call `stop(number)`, and not the handler of before.

        Raises:
            ValueError: not on the main thread.
        """
        self._install(stop, [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN])
        self._drain_first()

    def _install(self, stop: Callable[[int], object], numbers: Iterable[int]) -> None:
        def handle(number: int, _frame: FrameType | None) -> None:
            stop(number)

        for number in numbers:
            before = signal.signal(number, handle)
            self._stack.callback(_put_back, number, handle, before)


def _put_back(number: int, ours: Callable[..., object], before: Any) -> None:
    if signal.getsignal(number) is ours:
        signal.signal(number, signal.SIG_DFL if before is None else before)
