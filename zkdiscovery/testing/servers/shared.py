"""ZooKeeper servers that somebody else runs, named by `ZKDISCOVERY_TEST_HOSTS`: used, never stopped."""

from __future__ import annotations

import time

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing.servers.source import Source
from zkdiscovery.testing.wire import split_host_port

VARIABLE = "ZKDISCOVERY_TEST_HOSTS"


class SharedServers(Source):
    """Servers at `host:port`, or several with commas.

    Raises:
        NoServerForTests: the hosts can't be read.
    """

    ready_limit = 5.0  # they run already

    def __init__(self, hosts: str) -> None:
        self.hosts = ",".join(host.strip() for host in hosts.split(","))
        try:
            for host in self.hosts.split(","):
                split_host_port(host)
        except ValueError as error:
            raise NoServerForTests(
                f"{VARIABLE} must be host:port, or several with commas, and no path: {error}"
            ) from None

    def describe(self, version: str) -> str:
        """Describe the server in words."""
        return f"{VARIABLE} (ZooKeeper {version} at {self.hosts})"

    def start(self) -> None:
        """Do nothing: it runs already."""

    def wait_ended(self, timeout: float) -> bool:
        """Wait `timeout` seconds. Whether it has ended is not known here."""
        time.sleep(timeout)
        return False

    def failure_message(self, problem: str) -> str:
        """The message for servers of which none answers."""
        return (
            f"{VARIABLE} names {self.hosts}, and no ZooKeeper serves there within {self.ready_limit:g} s: {problem}."
            " Start it or correct the variable; without it, tests use a container or a ZooKeeper installed here"
        )

    def log_tail(self) -> str:
        """The log is not on this machine."""
        return "(not here)"

    def close(self) -> None:
        """Do nothing: it keeps running."""
