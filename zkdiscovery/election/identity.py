"""What a candidate calls itself if it is not told: the same for all elections of one process."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

_known: tuple[int, str] = (0, "")  # the id by the process that it belongs to: a forked child has another one


def default_candidate_id() -> str:
    """`HOSTNAME:PID:START`, the start of the process in milliseconds since the epoch.

    Host name and process id do not tell a container's process from its successor: each is number 1.
    """
    global _known  # noqa: PLW0603
    pid = os.getpid()
    if _known[0] != pid:
        _known = pid, f"{socket.gethostname()}:{pid}:{round(_started() * 1000)}"
    return _known[1]


def _started() -> float:
    """Seconds since the epoch; where the system does not tell, now, which is asked once."""
    try:
        # The name of the program may hold blanks and parentheses; the 20th field after it is the start in clock ticks.
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.time()
    return time.time() - age
