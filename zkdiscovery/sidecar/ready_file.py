"""A file for probes that can't ask the network: it exists while a registered command is ready.

Ready means: it has been registered once, its health is UP, and it does not leave. So an outage of ZooKeeper makes a
command that runs no less ready, and one that starts during an outage is not ready before it is registered.

Threads: the client's thread of callbacks, which calls it with each change of the registration.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zkdiscovery.registration import Registration

_LEAVING = ("DRAINING", "CLOSED")


class ReadyFile:
    """The file. Making one removes what a former process has left.

    Args:
        path: of the file; its folder must exist, and be writable.

    Raises:
        OSError: it can't be written there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._registered = False
        path.touch()
        path.unlink()

    def follow(self, registration: Registration) -> None:
        """Let the file exist exactly if the command is ready.

        Raises:
            OSError: it can't be written any more.
        """
        state = registration.state
        self._registered = self._registered or state == "REGISTERED"
        if self._registered and state not in _LEAVING and registration.instance.own.status == "UP":
            self._path.touch()
        else:
            self.remove()

    def remove(self) -> None:
        """Remove it, because the command has ended."""
        self._path.unlink(missing_ok=True)
