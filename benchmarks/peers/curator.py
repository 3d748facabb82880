"""Apache Curator, in a process of its own: the program curator/Peer.java, which is compiled once for each question."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import INTEROP, JARS, LIMIT, SESSION_TIMEOUT, Bench
from zkdiscovery import Instance
from zkdiscovery.codecs.curator import CuratorCodec

CLASS_PATH = [
    JARS / f"{name}.jar"
    for name in (
        "curator-client", "curator-framework", "curator-recipes", "curator-x-discovery", "guava", "jackson-annotations",
        "jackson-core", "jackson-databind", "slf4j-api", "slf4j-nop", "zookeeper",
    )
]  # fmt: skip
PACKAGES = "libcurator-discovery-java libcurator-recipes-java libslf4j-java default-jdk-headless"
LOGGING = ("logback", "log4j")  # it writes to stdout, where our answers go
PROGRAM = Path(__file__).parents[1] / "curator" / "Peer.java"


def for_curator(instance: Instance) -> bytes:
    """An instance as Curator writes one with a map as its payload: ours has a class of Spring's, which is not there."""
    node = json.loads(CuratorCodec().encode(instance))
    node["payload"] = {"@class": "java.util.LinkedHashMap", **node["payload"]["metadata"]}
    return json.dumps(node, separators=(",", ":")).encode()


class Curator:
    """The program curator/Peer.java, with one connection; see there for its commands.

    Attributes:
        pid: of its process.
        last: the answer that was heard last.
        session: id of its connection's session.
    """

    def __init__(self, hosts: str, session_timeout: float = SESSION_TIMEOUT) -> None:
        command = ["java", "-cp", class_path(), PROGRAM.stem, hosts, str(round(session_timeout * 1000))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.last: dict[str, Any] = {}
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self.session = int(self.hear("session"))
        except BaseException:
            self.kill()
            raise

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put('{"error": "Curator ended"}')

    def ask(self, command: str, key: str) -> float:
        """What it answers to a command."""
        self.tell(command)
        return self.hear(key)

    def tell(self, command: str) -> None:
        """A command, whose answer comes later."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def hear(self, key: str) -> float:
        """The value of the next answer that has this key."""
        while True:
            self.last = json.loads(self._answers.get(timeout=LIMIT))
            if "error" in self.last:
                raise RuntimeError(f"Curator: {self.last['error']}")
            if key in self.last:
                value: float = self.last[key]
                return value

    def kill(self) -> None:
        """As a crash does."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it; it ends with its input."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self.kill()


def has_curator(bench: Bench) -> bool:
    """Are it and a JDK installed?"""
    found = bool(all(map(shutil.which, ("java", "javac"))) and libraries())
    if not found:
        bench.say(f"left out: Curator, because it or a JDK is not installed (`make interop`, or on Debian: {PACKAGES})")
    return found


@contextlib.contextmanager
def curator(bench: Bench, hosts: str | None = None) -> Iterator[Curator | None]:
    """Curator, connected to the server or to `hosts`; None where it or a JDK is missing."""
    if not has_curator(bench):
        yield None
        return
    with contextlib.closing(Curator(hosts or bench.hosts)) as java:
        yield java


@functools.cache
def class_path() -> str:
    """Where Java finds Curator, and the program, which is compiled here."""
    classes = tempfile.mkdtemp(prefix="zkdiscovery-curator-")
    atexit.register(shutil.rmtree, classes, ignore_errors=True)
    path = ":".join(map(str, libraries()))
    subprocess.run(["javac", "-cp", path, "-d", classes, *PROGRAM.parent.glob("*.java")], check=True)
    return f"{path}:{classes}"


def libraries() -> list[Path]:
    """Curator and what it needs, from Debian or from `make interop`; empty if neither is there."""
    if all(jar.exists() for jar in CLASS_PATH):
        return CLASS_PATH
    return [jar for jar in sorted(INTEROP.glob("*.jar")) if not jar.name.startswith(LOGGING)]
