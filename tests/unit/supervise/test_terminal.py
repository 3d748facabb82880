"""The terminal of a command: who reads it, and whom Ctrl-C and Ctrl-Z reach."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.support import LIMIT
from tests.unit.supervise.processes import PROGRAM, ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="terminals differ")

SUPERVISOR = [sys.executable, str(PROGRAM), "inf", "0.5", "sh", "-c"]


class Screen:
    """A terminal with a program that it controls."""

    def __init__(self, argv: list[str]) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PS1": "ready> ", "HISTFILE": ""}
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(argv[0], argv, environment)
            finally:
                os._exit(127)
        self._seen = ""

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._fd, text.encode())

    def expect(self, text: str) -> None:
        """Wait until something is shown, after what was expected before."""
        end = time.monotonic() + LIMIT
        while text not in self._seen:
            left = end - time.monotonic()
            assert left > 0, f"waited in vain for {text!r}: {self._seen!r}"
            if select.select([self._fd], [], [], left)[0]:
                self._seen += os.read(self._fd, 4096).decode()
        self._seen = self._seen.partition(text)[2]

    def wait(self) -> int:
        """The exit code of the program."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            if select.select([self._fd], [], [], 0.02)[0]:
                with suppress(OSError):
                    os.read(self._fd, 4096)
        raise AssertionError("it does not end")

    def close(self) -> None:
        """End it."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


@pytest.fixture
def screens() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def show(screens: ExitStack, argv: list[str]) -> Screen:
    screen = Screen(argv)
    screens.callback(screen.close)
    return screen


def test_the_command_reads_the_terminal(screens: ExitStack) -> None:
    screen = show(screens, [*SUPERVISOR, "echo started; read -r line; echo got $line; exit 4"])
    screen.expect("started")
    screen.type("something\n")
    screen.expect("got something")
    assert screen.wait() == 4


def test_ctrl_c_reaches_the_command(screens: ExitStack) -> None:
    screen = show(screens, [*SUPERVISOR, "trap 'echo told; exit 5' INT; echo started; while :; do sleep 0.05; done"])
    screen.expect("started")
    screen.type("\x03")
    screen.expect("told")
    assert screen.wait() == 5


def test_ctrl_z_stops_both_and_fg_continues_them(screens: ExitStack) -> None:
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("no shell with job control here")
    screen = show(screens, [shell, "--norc", "--noediting", "-i"])
    screen.expect("ready> ")
    script = 'echo star""ted; read -r line; echo got $line; read -r line'
    screen.type(f"{' '.join(SUPERVISOR)} '{script}'\n")
    screen.expect("started")
    screen.type("\x1a")
    screen.expect("Stopped")
    screen.expect("ready> ")
    screen.type("echo the shell re''ads\n")
    screen.expect("the shell reads")
    screen.type("fg\n")
    screen.expect("echo")
    screen.type("something\n")
    screen.expect("got something")
    screen.type("\x03")
    screen.expect("ready> ")
    screen.type("echo code $?\n")
    screen.expect("code 130")
    screen.type("exit\n")
    assert screen.wait() == 0
