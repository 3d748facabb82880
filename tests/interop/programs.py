"""The programs beside us, each in a process of its own. scripts/build_interop.sh builds those of java/."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any

from zkdiscovery.testing.ports import free_port

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".cache" / "interop"
LIMIT = 60.0  # seconds for the start of an application or one answer, on a busy machine

# A small heap and a quick start: nothing is measured here.
_JAVA = ("java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def java(built: Path, program: str, *arguments: str) -> list[str]:
    """The command that starts a program that was built there."""
    if not (built / "classes").is_dir():
        raise FileNotFoundError(f"{built}/classes is not there: build the Java programs with scripts/build_interop.sh")
    return [*_JAVA, "-cp", f"{built}/classes:{built}/lib/*", program, *arguments]


class Program:
    """A process that obeys: a line of JSON is a command, and a line of JSON its answer. It ends with its input."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=[self._process.stdout], daemon=True)
        self._reader.start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            if line[0] in "[{":  # and no line of a log
                self._answers.put(line)
        self._answers.put('{"error": "it has ended"}')

    def obey(self, command: str, *, limit: float = LIMIT, **options: object) -> Any:
        """The answer to a command, within so many seconds."""
        assert self._process.stdin is not None
        print(json.dumps({"do": command, **options}), file=self._process.stdin, flush=True)
        answer = json.loads(self._answers.get(timeout=limit))
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"the program says: {answer['error']}")
        return answer

    def close(self) -> None:
        """End it; it ends with its input."""
        _end(self._process, self._process.stdin.close if self._process.stdin else self._process.terminate)
        self._reader.join(LIMIT)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Peer(Program):
    """The program Peer.java; see there for its commands."""

    def __init__(self, hosts: str) -> None:
        super().__init__(java(BUILT, "interop.Peer", hosts))

    def ask(self, command: str, base: str, service: str, **options: object) -> Any:
        """The answer to a command."""
        return self.obey(command, base=base, service=service, **options)


def curators_locks(hosts: str) -> Program:
    """The program Locks.java; see there for its commands."""
    return Program(java(BUILT, "interop.Locks", hosts))


def taker(who: str, hosts: str) -> Program:
    """The program turns.py; see there for its command."""
    return Program([sys.executable, "-m", "tests.interop.turns", who, hosts])


class Application:
    """The program Application.java, which is ready once it answers.

    Attributes:
        port: where it listens.
    """

    def __init__(self, options: dict[str, str], built: Path = BUILT) -> None:
        self.port = free_port()
        given = {
            "server.port": str(self.port),
            "server.address": "127.0.0.1",
            "spring.main.banner-mode": "off",
            "logging.level.root": "WARN",
            **options,
        }
        command = java(built, "interop.Application", *(f"--{name}={value}" for name, value in given.items()))
        self._process = subprocess.Popen(command, text=True)

    def ask(self, path: str, **query: object) -> Any:
        """What it answers to a request: JSON, or text."""
        url = f"http://127.0.0.1:{self.port}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:
            text = answer.read().decode()
        return json.loads(text) if text[0] in "[{" else text

    def terminate(self) -> None:
        """SIGTERM, as an orchestrator sends it. Returns at once."""
        self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End it."""
        _end(self._process, self.terminate)


def _end(process: subprocess.Popen[Any], how: Any) -> None:
    with contextlib.suppress(OSError):
        how()
    try:
        process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
