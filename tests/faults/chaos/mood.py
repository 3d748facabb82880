"""Whether a worker may change things now."""

from __future__ import annotations

import threading


class Mood:
    """`go`: threads act; quiet: they park, and only what others do to them is recorded.

    Every method may be called from any thread.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._changed = threading.Condition()
        self._quiet = quiet
        self._calm = False
        self._acting = 0
        self.over = False

    @property
    def busy(self) -> int:
        """Threads in the midst of an act."""
        return self._acting

    @property
    def quiet(self) -> bool:
        """No act may begin."""
        return self._quiet

    def go(self, *, calm: bool) -> None:
        """A round begins."""
        with self._changed:
            self._quiet, self._calm = False, calm
            self._changed.notify_all()

    def be_quiet(self) -> None:
        """It is over; acts under way go on to their end."""
        with self._changed:
            self._quiet = True
            self._changed.notify_all()

    def end(self) -> None:
        """The process ends."""
        with self._changed:
            self.over = True
            self._changed.notify_all()

    def begin_act(self) -> bool:
        """Wait until an act may begin. False if the process ends. `end_act` follows."""
        with self._changed:
            self._changed.wait_for(lambda: self.over or not (self._quiet or self._calm))
            self._acting += not self.over
            return not self.over

    def end_act(self) -> None:
        """The act is done."""
        with self._changed:
            self._acting -= 1

    def wait_quiet(self) -> None:
        """Wait until it is quiet, or over."""
        with self._changed:
            self._changed.wait_for(lambda: self.over or self._quiet)

    def pause(self, seconds: float) -> None:
        """Wait, less if the process ends."""
        with self._changed:
            self._changed.wait_for(lambda: self.over, seconds)
