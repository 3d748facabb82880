"""ZooKeeper as a private process of this machine, from what is installed here.

Looked for: `ZOOKEEPER_HOME`; then the newest one among those in the user's cache, where `scripts/get_zookeeper.sh` of a
clone puts them (`~/.cache/zkdiscovery/zookeeper/VERSION/`), Debian's libzookeeper-java and Homebrew's zookeeper. Java:
that of `JAVA_HOME`, then the `PATH`, then Homebrew's, which is on no `PATH`; the first one that really runs.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing.source import Source
from zkdiscovery.testing.supervisor import Supervisor
from zkdiscovery.testing.version import fits
from zkdiscovery.testing.wire import four_letter_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"

_DEBIAN = Path("/usr/share/java")
_HOMEBREW = (Path("/opt/homebrew/opt"), Path("/usr/local/opt"))
_INSTALL = (
    "Debian, Ubuntu: apt-get install --no-install-recommends libzookeeper-java default-jre-headless libslf4j-java;"
    " macOS: brew install zookeeper; elsewhere set ZOOKEEPER_HOME to an unpacked ZooKeeper and JAVA_HOME to a Java"
)
_LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d [%thread] %-5level %logger{20} - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""
_STOP_GRACE = 10.0  # seconds for the server to end in order


@dataclass(frozen=True)
class Installation:
    """A ZooKeeper that can be started here."""

    java: str
    class_path: str
    place: Path


class _Found(NamedTuple):
    """A ZooKeeper that is here; `version` is that of its jar, empty if the jar does not tell."""

    place: Path
    class_path: str
    version: str


def find_installation(version: str | None = None, environment: Mapping[str, str] = os.environ) -> Installation:
    """The ZooKeeper installed here that has the wanted version (None: any), with a Java that runs.

    Raises:
        NoServerForTests: ZooKeeper or Java is missing; says where was looked and what to install.
    """
    candidates = [*_named(environment), *sorted(_installed(environment), key=_number, reverse=True)]
    found = next((candidate for candidate in candidates if fits(version, candidate.version)), None)
    if found is None:
        raise NoServerForTests(_nothing(version, candidates, environment))
    tried = []
    for java in _javas(environment):
        problem = _java_problem(java)
        if problem is None:
            return Installation(java, found.class_path, found.place)
        tried.append(f"{java}: {problem}")
    raise NoServerForTests(
        f"ZooKeeper is installed in {found.place}, but no Java runs ({'; '.join(tried) or 'none found'}). {_INSTALL}"
    )


def _nothing(version: str | None, candidates: Sequence[_Found], environment: Mapping[str, str]) -> str:
    """Why there is no installation, and what to do."""
    if candidates:
        there = ", ".join(f"{found.version or 'an unknown version'} in {found.place}" for found in candidates)
        return (
            f"ZooKeeper {version} is not installed here (there is {there}). Set ZOOKEEPER_HOME to an unpacked"
            f" ZooKeeper {version}; in a clone of zkdiscovery `sh scripts/get_zookeeper.sh {version}` gets it"
        )
    home = environment.get("ZOOKEEPER_HOME")
    places = [*([home] if home else []), _cache(environment), _DEBIAN / "zookeeper.jar"]
    places += [prefix / "zookeeper" for prefix in _HOMEBREW]
    wanted = f"ZooKeeper {version}" if version else "ZooKeeper"
    return f"no {wanted} is installed (looked in {', '.join(map(str, places))}). {_INSTALL}"


def _named(environment: Mapping[str, str]) -> Iterator[_Found]:
    """What `ZOOKEEPER_HOME` names."""
    if home := environment.get("ZOOKEEPER_HOME"):
        yield from _unpacked(Path(home))


def _installed(environment: Mapping[str, str]) -> Iterator[_Found]:
    for place in sorted(_cache(environment).glob("*")):
        yield from _unpacked(place)
    if (jar := _DEBIAN / "zookeeper.jar").is_file():
        # The jar's manifest names what it needs, all but a back end for its logging, and two for TLS.
        more = ("slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar")
        class_path = os.pathsep.join(map(str, (jar, *(_DEBIAN / name for name in more))))
        yield _Found(_DEBIAN, class_path, _version(_DEBIAN))
    for prefix in _HOMEBREW:
        yield from _unpacked(prefix / "zookeeper")


def _cache(environment: Mapping[str, str]) -> Path:
    """Where `scripts/get_zookeeper.sh` puts what it gets."""
    caches = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME', '')}/.cache"
    return Path(caches) / "zkdiscovery" / "zookeeper"


def _unpacked(home: Path) -> Iterator[_Found]:
    for base in (home, home / "libexec"):
        for jars in (base / "lib", base):
            if any(jars.glob("zookeeper-*.jar")):
                yield _Found(home, os.pathsep.join((str(base / "lib" / "*"), str(base / "*"))), _version(jars))
                return


def _version(directory: Path) -> str:
    """The version in the name of ZooKeeper's jar."""
    names = (re.fullmatch(r"zookeeper-(\d+\.\d+\.\d+)\.jar", jar.name) for jar in directory.glob("zookeeper-*.jar"))
    return next((name[1] for name in names if name), "")


def _number(found: _Found) -> list[int]:
    return [int(part) for part in found.version.split(".") if part]


def _javas(environment: Mapping[str, str]) -> Iterator[str]:
    if home := environment.get("JAVA_HOME"):
        yield str(Path(home) / "bin" / "java")
    if java := shutil.which("java", path=environment.get("PATH")):
        yield java
    for prefix in _HOMEBREW:
        if (brewed := prefix / "openjdk" / "bin" / "java").exists():
            yield str(brewed)


def _java_problem(java: str) -> str | None:
    """Why this Java does not run, None if it does. macOS has a `java` that only says where to get one."""
    try:
        run = subprocess.run(
            [java, "-XX:-UsePerfData", "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20.0,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if run.returncode == 0 else f"-version ends with status {run.returncode}"


def free_port() -> int:
    """A free TCP port on 127.0.0.1, from 15000 to 31999.

    That is below the ephemeral ranges of Linux (32768 and more) and macOS (49152 and more): while a server is down,
    no outgoing connection can take its port, a reconnecting client's own included.
    """
    for _ in range(1000):
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NoServerForTests("no free TCP port on 127.0.0.1 from 15000 to 31999")


def hold_port(port: int) -> socket.socket | None:
    """Keep a port from being taken by others, until the socket is closed, while a server of ours comes and goes on it.

    The socket is bound and never listens: connections are refused as without it. On Linux a server that asks for
    SO_REUSEADDR, as ZooKeeper does, may listen all the same. None: not on this system, or somebody was faster.
    """
    if not sys.platform.startswith("linux"):
        return None
    held = socket.socket()
    try:
        held.bind(("127.0.0.1", port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # afterwards: the binding was exclusive
    except OSError:
        held.close()
        return None
    return held


def check_port(port: int) -> None:
    """Refuse a TCP port that can't be had on 127.0.0.1; one whose last connections linger (TIME_WAIT) can.

    Raises:
        NoServerForTests: it is taken, or reserved.
        ValueError: it is no port.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"port must be a number from 1 to 65535: got {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise NoServerForTests(f"the port {port} of 127.0.0.1 can't be had ({error}); choose another") from None


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
        """What the server is, for people."""
        return f"local process (ZooKeeper {version} at {self._installation.place})"

    def move(self) -> None:
        """Take another port, before a start."""
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
        """Whether the server that answers on the port is this one, not another that took the port first."""
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
        """Let the process go on with SIGCONT."""
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
