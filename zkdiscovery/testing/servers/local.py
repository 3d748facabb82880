"""ZooKeeper as a private process of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Mapping

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing.ports import free_port, hold_port
from zkdiscovery.testing.servers.installation import Installation
from zkdiscovery.testing.servers.source import Source
from zkdiscovery.testing.servers.supervisor import Supervisor
from zkdiscovery.testing.wire import four_letter_word

START_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"

_LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d [%thread] %-5level %logger{20} - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""
_STOP_GRACE = 10.0  # seconds for the server to end in order


class LocalProcess(Source):
    """A standalone ZooKeeper in a process of its own, on a loopback port, with its data in a temporary directory.

    The port is `port`; None: a free one.
    """

    def __init__(self, installation: Installation, config: Mapping[str, str], port: int | None = None) -> None:
        self._installation = installation
        self._config = config
        self._wanted_port = port
        self._supervisor = Supervisor()
        self._directory = self._supervisor.make_directory()
        self._data = self._directory / "data"
        self._log = self._directory / "server.log"
        self._held: socket.socket | None = None
        (self._directory / "logback.xml").write_text(_LOGBACK)
        self.move()

    def describe(self, version: str) -> str:
        """Describe the server in words."""
        return f"local process (ZooKeeper {version} at {self._installation.place})"

    def move(self) -> None:
        """Choose another port, before a start."""
        self._release_port()
        self._port = self._wanted_port or free_port()
        self._held = hold_port(self._port)
        self.hosts = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the process; it serves some time later.

        Raises:
            NoServerForTests: Java can't be started.
        """
        self._data.mkdir(exist_ok=True)
        config = {
            "clientPort": str(self._port),
            "clientPortAddress": "127.0.0.1",
            "dataDir": str(self._data),
            **self._config,
        }
        path = self._directory / "zoo.cfg"
        path.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        command = [
            self._installation.java,
            "-Xmx256m",
            "-XX:-UsePerfData",  # no file in the common temporary directory
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            *os.environ.get("JVMFLAGS", "").split(),  # as ZooKeeper's own scripts have it
            f"-Dlogback.configurationFile={self._directory / 'logback.xml'}",
            "-cp",
            self._installation.class_path,
            START_CLASS,
            str(path),
        ]
        try:
            self._supervisor.start(command, self._log)
        except OSError as error:
            raise NoServerForTests(f"{self._installation.java} can't be started: {error}") from None

    def wait_ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the process to end; True if it has."""
        return self._supervisor.wait(timeout) is not None

    def is_ours(self) -> bool:
        """Return whether the server that answers on the port is this one, not another that took the port first."""
        return f"dataDir={self._data}" in four_letter_word(self.hosts, "conf")

    def stop(self) -> None:
        """End the process in order, by force after 10 s."""
        self._supervisor.signal(signal.SIGTERM)
        if not self.wait_ended(_STOP_GRACE):
            self.kill()

    def kill(self) -> None:
        """End the process with SIGKILL, if it runs."""
        self._supervisor.signal(signal.SIGKILL)
        if not self.wait_ended(_STOP_GRACE):
            raise TimeoutError(f"the ZooKeeper process on {self.hosts} does not end, {_STOP_GRACE:g} s after SIGKILL")

    def pause(self) -> None:
        """Stop the process with SIGSTOP: its connections stay open and nothing answers."""
        self._supervisor.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the process with SIGCONT."""
        self._supervisor.signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Delete the data of the ended process."""
        shutil.rmtree(self._data)

    def log_tail(self) -> str:
        """The last lines of the server's log."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def close(self) -> None:
        """Kill the process and remove its directory."""
        self._supervisor.close()
        self._release_port()

    def _release_port(self) -> None:
        if self._held is not None:
            self._held.close()
