"""The command on a real server: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import pytest
from typer.testing import CliRunner

from tests.integration.lifecycle.first_container import FirstOfContainer, Machine, machine
from tests.integration.lifecycle.first_process import FirstProcess
from tests.support import LIMIT, Recorder, wait_until
from zkdiscovery.cli.app import app
from zkdiscovery.testing import ZookeeperServer
from zkdiscovery.testing.servers import environment

First = FirstProcess | FirstOfContainer

_ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ZKDISCOVERY_") and name not in environment.VARIABLES:
            monkeypatch.delenv(name)


class Done:
    """A command that has ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in err

    @property
    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.out)


class Running:
    """A command in a process of its own, whose lines can be waited for."""

    def __init__(self, arguments: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zkdiscovery", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out, self.err = Recorder[str](), Recorder[str]()
        self._readers = [
            threading.Thread(target=_read, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def line(self, *parts: str) -> str:
        """Wait for a line on stdout that has all parts."""
        return self._find(self.out, parts)

    def message(self, *parts: str) -> str:
        """Wait for a line on stderr that has all parts."""
        return self._find(self.err, parts)

    def _find(self, lines: Recorder[str], parts: tuple[str, ...]) -> str:
        def found(items: list[str]) -> list[str]:
            return [item for item in items if all(part in item for part in parts)]

        return found(lines.wait(lambda items: bool(found(items))))[0]

    def end(self, number: int | None = None) -> int:
        """Send a signal, if any; the exit code, once all output is read."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(LIMIT)
        for reader in self._readers:
            reader.join(LIMIT)
        assert not [line for line in self.err.items if "Traceback" in line]
        return code

    def close(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.end()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def _read(stream: IO[str], lines: Recorder[str]) -> None:
    for line in stream:
        lines(line.rstrip("\n"))


@pytest.fixture
def options(zkdiscovery_server: ZookeeperServer, namespace: str) -> list[str]:
    """The global options for the test's server and namespace."""
    return ["--hosts", zkdiscovery_server.hosts, "--namespace", namespace]


@pytest.fixture
def run(options: list[str]) -> Callable[..., Done]:
    """Run a command in this process; `given` is its stdin."""

    def call(*arguments: str, given: str = "") -> Done:
        result = CliRunner().invoke(app, [*options, *arguments], input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def start(options: list[str]) -> Iterator[Callable[..., Running]]:
    """Start a command in a process of its own."""
    with ExitStack() as stack:

        def call(*arguments: str) -> Running:
            running = Running([*options, *arguments])
            stack.callback(running.close)
            return running

        yield call


@pytest.fixture(scope="module")
def _machine() -> Iterator[Machine]:
    with machine() as made:
        yield made


@pytest.fixture(params=["namespace", pytest.param("container", marks=pytest.mark.container)])
def start_first(request: pytest.FixtureRequest, options: list[str], tmp_path: Path) -> Callable[..., First]:
    """Start a command as the first process of a PID namespace or of a real container; it can write to `tmp_path`."""
    command = ["-m", "zkdiscovery", *options]

    def in_namespace(*arguments: str) -> FirstProcess:
        return FirstProcess(*command, *arguments, folder=_ROOT, env={**os.environ, "PYTHONPATH": str(_ROOT)})

    def in_container(*arguments: str) -> FirstOfContainer:
        variables = {"PYTHONPATH": str(_ROOT)}
        return FirstOfContainer(made, *command, *arguments, folder=_ROOT, writable=tmp_path, env=variables)

    if request.param == "namespace":
        return in_namespace
    made: Machine = request.getfixturevalue("_machine")
    return in_container


def expect_orphans_reaped(process: First) -> None:
    """Enter as `docker exec` does and leave orphans: the guardian and its command alone remain."""
    enter = ["nsenter", "--pid", "--target", str(process.pid), "sh", "-c", "(sleep 0.1 &); (sleep 0.2 &)"]
    subprocess.run(enter, timeout=LIMIT, check=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: len(children.read_text().split()) == 1)
    (guardian,) = children.read_text().split()
    wait_until(lambda: len(Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()) == 1)
