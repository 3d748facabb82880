"""One holder of a lock that runs a command is attacked; another waits. Do their commands overlap?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support import Truth, wait_until
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.testing import FaultProxy

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("program.py")
NAME = "nightly"
LIMIT = 60.0  # seconds for a command to start or to end, on a busy machine


@dataclass(frozen=True)
class Attack:
    """Something that happens to the holder.

    Attributes:
        name: of the attack.
        begin: does it to the process and to its way to ZooKeeper.
        end: undoes it, once another's command runs.
        code: the exit code of the holder then.
    """

    name: str
    begin: Callable[[subprocess.Popen[str], FaultProxy], None]
    end: Callable[[subprocess.Popen[str], FaultProxy], None]
    code: int


def _heal(_holder: subprocess.Popen[str], proxy: FaultProxy) -> None:
    proxy.heal()


def _go_on(holder: subprocess.Popen[str], _proxy: FaultProxy) -> None:
    holder.send_signal(signal.SIGCONT)


def _refuse(_holder: subprocess.Popen[str], proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.drop()


ATTACKS = {
    attack.name: attack
    for attack in (
        Attack("paused", lambda _, proxy: proxy.pause(), _heal, ExitCode.LOST),
        Attack("refused", _refuse, _heal, ExitCode.LOST),
        Attack("killed", lambda holder, _: holder.kill(), lambda *_: None, -signal.SIGKILL),
        Attack("stopped", lambda holder, _: holder.send_signal(signal.SIGSTOP), _go_on, ExitCode.LOST),
    )
}


@dataclass(frozen=True)
class Outcome:
    """What came of one attack.

    Attributes:
        code: the exit code of the holder.
        gap: seconds from the last line of the holder's command to the first one of the next holder's; negative: they
            overlapped.
        ran: seconds from the attack to the last line of the holder's command.
    """

    code: int
    gap: float
    ran: float


class NotBegunError(Exception):
    """A holder ended before its turn: the machine is too busy for this short a session timeout."""


class Lines:
    """The file that the commands write to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def spans(self) -> dict[int, tuple[int, int]]:
        """The first and the last moment of each fence, in nanoseconds since the boot."""
        times: dict[int, list[int]] = defaultdict(list)
        for line in self.path.read_text().splitlines():
            fence, now, _ = line.split()
            times[int(fence)].append(int(now))
        return {fence: (min(found), max(found)) for fence, found in times.items()}

    def descendants(self) -> set[int]:
        """The fences whose command has a descendant that has written."""
        return {int(line.split()[0]) for line in self.path.read_text().splitlines() if line.endswith("descendant")}

    def wait(self, count: int, last: subprocess.Popen[str]) -> None:
        """Wait until `count` commands have begun, of which `last` runs the last one.

        Raises:
            NotBegunError: it ended before.
        """
        wait_until(lambda: len(self.descendants()) == count or last.poll() is not None, LIMIT)
        if len(self.descendants()) < count:
            raise NotBegunError(f"exit code {last.returncode}: {last.communicate()[1]}")


@contextmanager
def locking(hosts: str, namespace: str, lines: Lines, timeout: float, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`zkdiscovery lock`, with a session timeout of `timeout` seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zkdiscovery", "--hosts", hosts, "--namespace", namespace, "lock", NAME, *options,
         "--", sys.executable, "-I", "-S", str(PROGRAM), str(lines.path)],
        cwd=ROOT, env=os.environ | {"ZKDISCOVERY_SESSION_TIMEOUT": str(timeout)}, stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        with suppress(ValueError):  # its output was read already
            process.communicate(timeout=LIMIT)


def attempt(attack: Attack, server: str, namespace: str, folder: Path, *, timeout: float) -> Outcome:
    """Attack one holder while another process waits for the lock."""
    lines = Lines(folder / "lines")
    with ExitStack() as stack:
        truth = stack.enter_context(Truth(server))
        proxy = stack.enter_context(FaultProxy(server))
        holder = stack.enter_context(locking(proxy.address, namespace, lines, timeout))
        lines.wait(1, holder)
        waiting = stack.enter_context(locking(server, namespace, lines, timeout))
        wait_until(
            lambda: (
                len(truth.children(f"{namespace}/locks/{NAME}")) == 2
                or holder.poll() is not None
                or waiting.poll() is not None
            ),
            LIMIT,
        )
        if holder.poll() is not None:
            raise NotBegunError(f"exit code {holder.returncode} before the attack: {holder.communicate()[1]}")
        begun = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        attack.begin(holder, proxy)
        lines.wait(2, waiting)
        attack.end(holder, proxy)
        code = holder.wait(LIMIT)
        # If anything of the former is left, it writes again.
        (_, last), (first, _) = (span for _, span in sorted(lines.spans().items()))
        return Outcome(code, (first - last) / 1e9, (last - begun) / 1e9)
