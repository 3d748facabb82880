"""What a thread of a source keeps in step with it, and the bridge takes. It is never taken while a fault stands.

Threads: the methods may be called on any thread.
"""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable

T = TypeVar("T")

Fault = SourceUnavailable | SourceRefused


class InStep(Generic[T]):
    """A value that is in step, or the fault that it met. It begins with a fault: nothing was asked yet.

    Args:
        where: the source, in words for users.

    Attributes:
        lock: guards what is known. It may be held while the methods are called.
    """

    def __init__(self, where: str) -> None:
        self.lock = threading.Condition()
        self._value: T | None = None
        self._fault: Fault | None = SourceUnavailable(f"{where} was not asked yet")

    def take(self, deadline: float) -> T:
        """Return the value. Waits until it is in step, until `deadline` (monotonic seconds).

        Raises:
            SourceUnavailable: it is not in step.
            SourceRefused: a right is missing.
        """
        with self.lock:
            self.lock.wait_for(
                lambda: self._fault is None or isinstance(self._fault, SourceRefused),
                max(0.0, deadline - time.monotonic()),
            )
            if self._fault is not None or self._value is None:
                kind = SourceRefused if isinstance(self._fault, SourceRefused) else SourceUnavailable
                raise kind(str(self._fault)) from self._fault
            return self._value

    def settle(self, value: T | None, fault: Fault | None) -> bool:
        """Note a fault, or else the value. Return True if the value has changed, or a fault has begun or ended."""
        with self.lock:
            differs = (fault is None) is not (self._fault is None)
            if value is not None:
                differs = differs or value != self._value
                self._value = value
            self._fault = fault
            self.lock.notify_all()
        return differs
