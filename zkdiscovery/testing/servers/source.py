"""The interface of each kind of server for `ZookeeperServer`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NoReturn


class Source(ABC):
    """A server that tests may use; one that is not private refuses to be stopped. Calls come one at a time.

    Attributes:
        hosts: `host:port`, or several with commas; valid after `start`.
        ready_limit: seconds from its start until it serves.
    """

    hosts: str
    ready_limit = 30.0

    @abstractmethod
    def describe(self, version: str) -> str:
        """Describe the server in words."""

    @abstractmethod
    def start(self) -> None:
        """Start the server; it may serve some time later.

        Raises:
            NoServerForTests: it can't be started.
        """

    @abstractmethod
    def wait_ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the server to end by itself; True if it has."""

    @abstractmethod
    def log_tail(self) -> str:
        """The last lines of the server's log."""

    @abstractmethod
    def close(self) -> None:
        """Remove everything that this source has made."""

    def failure_message(self, problem: str) -> str:
        """The message for a server that does not serve in time."""
        return (
            f"{self.describe('not running')} at {self.hosts} does not serve: {problem}."
            f" The end of its log:\n{self.log_tail()}"
        )

    def is_ours(self) -> bool:
        """Return whether what answers at `hosts` is this server."""
        return True

    def move(self) -> None:
        """Choose another port, before a start."""
        self._refuse("moved")

    def stop(self) -> None:
        """End the server in order, by force after 10 s."""
        self._refuse("stopped")

    def kill(self) -> None:
        """End the server at once, if it runs."""
        self._refuse("killed")

    def pause(self) -> None:
        """Freeze the server: its connections stay open and nothing answers."""
        self._refuse("paused")

    def resume(self) -> None:
        """Resume a frozen server."""
        self._refuse("resumed")

    def wipe(self) -> None:
        """Delete the data of the ended server."""
        self._refuse("wiped")

    def _refuse(self, what: str) -> NoReturn:
        raise RuntimeError(
            f"the ZooKeeper at {self.hosts} is not ours to be {what};"
            " use a private one: zookeeper_server(source='local')"
        )
