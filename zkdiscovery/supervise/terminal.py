"""The terminal's foreground group: who reads the keyboard, and whom Ctrl-C and Ctrl-Z reach."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


class Terminal:
    """The terminal that this process was started from.

    Args:
        fd: its file descriptor.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def find(cls) -> Terminal | None:
        """The terminal of standard input; None in a pipeline, whose other members need the foreground, too."""
        try:
            os.tcgetpgrp(0)  # fails if it is not the one that controls this process
        except OSError:
            return None
        return cls(0) if os.isatty(1) else None

    @property
    def foreground(self) -> int:
        """The foreground group; 0: none, because the terminal is gone."""
        with suppress(OSError):
            return os.tcgetpgrp(self.fd)
        return 0

    @property
    def is_ours(self) -> bool:
        """True if our group is in the foreground."""
        return self.foreground == os.getpgrp()

    def give(self, group: int) -> None:
        """Make a group the foreground group, from the background as well."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with suppress(OSError):
                os.tcsetpgrp(self.fd, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
