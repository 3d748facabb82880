"""Steps of closing, of which each is taken, whatever becomes of the others."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable

log = logging.getLogger("zkdiscovery.lifecycle")


class ClosingSteps:
    """Takes steps and keeps the first error. After an interruption, such as Ctrl-C, steps get less time."""

    def __init__(self) -> None:
        self._failure: BaseException | None = None
        self._interrupted_at = math.inf  # monotonic seconds

    def take(self, what: object, step: Callable[[float], object], deadline: float, grace: float = 0.0) -> None:
        """Call `step(deadline)`. An error does not leave this method.

        Args:
            what: what the step closes, for the log.
            step: what to call.
            deadline: monotonic seconds.
            grace: seconds after an interruption until which the step may wait.
        """
        try:
            step(min(deadline, self._interrupted_at + grace))
        except BaseException as error:
            if not isinstance(error, Exception):
                self._interrupted_at = min(self._interrupted_at, time.monotonic())
            if self._failure is None:
                self._failure = error
            else:
                log.exception("ending %r failed; the others go on", what)

    def finish(self) -> None:
        """Raise the first error, if there was one."""
        if self._failure is not None:
            raise self._failure


def take_all(steps: Iterable[Callable[[float], object]], deadline: float) -> None:
    """Take each step, whatever becomes of the others; raise the first error at the end."""
    closing = ClosingSteps()
    for step in steps:
        closing.take(step, step, deadline)
    closing.finish()


def within(close: Callable[[float], object]) -> Callable[[float], object]:
    """Make a step of what takes seconds and not a deadline."""
    return lambda deadline: close(max(0.0, deadline - time.monotonic()))
