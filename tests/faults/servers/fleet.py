"""Server processes that register themselves as `payments`, each on a port of its own: restarted, stopped, killed.

    with Fleet(uvicorn, folder, environment) as fleet:
        view.wait_ready(LIMIT, at_least=3)
        fleet[0].terminate()

A command is a function of the port that returns the arguments of Python: `["-m", "uvicorn", ...]`. A process finds its
port in `PORT`, ZooKeeper in `ZKDISCOVERY_*`, and the folder for its marks in `LOOKS`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.integration.docs.samples import ROOT, free_port

Command = Callable[[int], list[str]]

GRACE = 20.0  # seconds for a server to finish its requests


# Seconds; longer than any caller keeps an idle connection. With 5 s, uvicorn's default, a caller may use one that is
# just being closed, whether or not a server is stopped.
_KEEP = ["--timeout-keep-alive", "60"]


def uvicorn(port: int) -> list[str]:
    """One process that uvicorn's command line starts."""
    return _uvicorn("app", port)


def uvicorn_workers(port: int) -> list[str]:
    """Two processes of uvicorn, which share a port and a registration."""
    return [*_uvicorn("shared", port), "--workers", "2"]


def _uvicorn(factory: str, port: int) -> list[str]:
    application = f"tests.faults.servers.paying:{factory}"
    return ["-m", "uvicorn", application, "--factory", "--port", str(port), "--log-level", "warning", *_KEEP]


def hypercorn(_port: int) -> list[str]:
    """A program that serves with hypercorn."""
    return ["-m", "tests.faults.servers.paying_hypercorn"]


def gunicorn(*options: str) -> Command:
    """gunicorn with four workers."""
    command = ["-m", "gunicorn", "-c", "python:tests.faults.servers.gunicorn_conf", *options]
    return lambda _port: [*command, "tests.faults.servers.paying_wsgi:app"]


class Member:
    """One server, which may have several processes; all of them are in one process group."""

    def __init__(self, command: Command, port: int, folder: Path, environment: Mapping[str, str]) -> None:
        self.port = port
        self._command = command
        self._folder = folder
        self._environment = {**environment, "PORT": str(port), "LOOKS": str(folder)}
        self.start()

    def start(self) -> None:
        """Start the server, on the same port each time. Does not wait."""
        log = self._folder / f"{self.port}.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *self._command(self.port)],
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def terminate(self) -> int:
        """Stop it as an operator would, and wait; answers its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(GRACE)

    def kill(self) -> None:
        """Kill all of its processes at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(GRACE)

    def said(self) -> str:
        """What it has written to its terminal."""
        return (self._folder / f"{self.port}.log").read_text()


class Fleet:
    """Some servers of one kind, on loopback.

    Args:
        command: what to start for a port.
        folder: for their logs and marks.
        environment: of the processes.
        size: how many.
    """

    def __init__(self, command: Command, folder: Path, environment: Mapping[str, str], size: int = 3) -> None:
        self._folder = folder
        self.members: list[Member] = []
        try:
            for _ in range(size):
                self.members.append(Member(command, free_port(), folder, environment))
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for member in self.members:
            member.kill()

    def with_slow_request(self) -> Member | None:
        """The member that has a slow request under way just now."""
        busy = {int(mark.suffix[1:]) for mark in self._folder.glob("slow.*")}
        return next((member for member in self.members if busy & set(pids_of_group(member.process.pid))), None)

    def said(self) -> str:
        """What all have written to their terminals."""
        return "\n".join(member.said() for member in self.members)


def pids_of_group(group: int) -> Iterator[int]:
    """The processes of a process group."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            if os.getpgid(int(entry.name)) == group:
                yield int(entry.name)
