"""The default id of this process, for its candidates in elections and its places in the queues of locks."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

MAX_ID = 256  # characters of an id

_known: tuple[int, str] = (0, "")  # the id by the process that it belongs to: a forked child has another one


def default_id() -> str:
    """Return `HOSTNAME:PID:START`; START is the time from the machine's boot to the start of the process.

    Host name and process id do not tell a container's process from its successor, because each is number 1.
    """
    global _known  # noqa: PLW0603
    pid = os.getpid()
    if _known[0] != pid:
        _known = pid, f"{socket.gethostname()}:{pid}:{_started()}"
    return _known[1]


def _started() -> str:
    """Clock ticks of the kernel since its boot; a random text where the system does not tell."""
    try:
        # The name of the program may hold blanks and parentheses; the 20th field after it is the start.
        return Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return secrets.token_hex(4)
