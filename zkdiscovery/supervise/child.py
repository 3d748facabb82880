"""The supervisor's side of a guardian: starts a command, signals its group, learns of its end.

Guarantees:
    - The command never runs without a guardian. The guardian knows a deadline before the command starts.
    - The end of this process, however it comes, ends the command: the guardian reads the end of the channel.
    - The end of the guardian, however it comes, ends the command: `Child.read` kills what is left.
    - `Child.close` returns when nothing of the command is left.

Not thread-safe: its owner calls it from one thread.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from zkdiscovery.supervise import guardian
from zkdiscovery.supervise.guardian import BETWEEN_ROUNDS, adopt_orphans, children, lease_now, reap, signal_all
from zkdiscovery.supervise.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Stopped:
    """A signal has stopped the command, as Ctrl-Z does."""

    signal: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The command has ended, and something that it has started is left, which is ended now.

    Attributes:
        status: its exit status; -N: signal N has ended it.
    """

    status: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The command has ended, and nothing of it is left.

    Attributes:
        status: its exit status; -N: signal N has ended it.
    """

    status: int

    @property
    def code(self) -> int:
        """The exit code as shells have it: 128+N for signal N."""
        return self.status if self.status >= 0 else 128 - self.status


class Child:
    """A command in a process group of its own, under a guardian.

    Args:
        argv: the program, searched in PATH, and its arguments. It inherits the descriptors of this process.
        env: its environment.
        deadline: seconds of the lease clock at which all of it is killed.
        grace: seconds from SIGTERM to SIGKILL after the end of this process, and for what outlives the command.
        terminal: the terminal whose foreground group it becomes, if ours is; None: it stays in the background.

    Raises:
        OSError: it can't be started.
    """

    def __init__(
        self,
        argv: list[str],
        *,
        env: Mapping[str, str],
        deadline: float = math.inf,
        grace: float,
        terminal: Terminal | None = None,
    ) -> None:
        adopt_orphans()  # so that a command whose guardian was killed becomes ours, and its number stays its own
        self._ended: Ended | None = None
        self._kill_at = math.inf  # since it was told to end
        self._received = b""
        self._channel, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            fd = terminal.fd if terminal is not None and terminal.is_ours else -1
            options = [str(theirs.fileno()), repr(deadline), repr(grace), str(fd)]
            self._guardian = subprocess.Popen(  # noqa: S603 - the interpreter that runs this
                [sys.executable, "-I", "-S", guardian.__file__, *options, *argv],
                env=env,
                close_fds=False,
                process_group=0,
            )
        try:
            # Byte by byte: nobody would wait for a message that was received along with this one.
            what, _, value = self._read_line(at_once=1).partition(" ")
            if what != "started":
                number = int(value) if what == "failed" else 0
                raise OSError(number, os.strerror(number) if number else "its guardian has ended", argv[0])
            self.pid = int(value)
        except BaseException:
            self._channel.close()  # which ends the guardian
            self._guardian.wait()
            raise

    @property
    def processes(self) -> tuple[int, int]:
        """The process ids that nobody else may wait for."""
        return self.pid, self._guardian.pid

    def fileno(self) -> int:
        """The file descriptor that becomes readable when `read` has something to tell."""
        return self._channel.fileno()

    def signal(self, number: int) -> None:
        """Send a signal to the group of the command."""
        self._send(f"signal {number:d}")

    def set_deadline(self, deadline: float) -> None:
        """Let everything of the command be killed at `deadline`, seconds of the lease clock."""
        self._send(f"deadline {deadline!r}")

    def stop(self, number: int, kill_after: float) -> None:
        """Tell the command to end by a signal. All of it is killed `kill_after` seconds after the first time."""
        if self._kill_at == math.inf:
            self._kill_at = lease_now() + kill_after
            self.set_deadline(self._kill_at)
        self.signal(number)
        self.signal(signal.SIGCONT)

    @property
    def was_killed(self) -> bool:
        """True if it has ended because it had not ended in time after `stop`."""
        return self._ended == Ended(-signal.SIGKILL) and lease_now() >= self._kill_at

    def kill(self) -> None:
        """Kill everything of the command now, whether the guardian runs or not."""
        self.set_deadline(-math.inf)
        self._guardian.send_signal(signal.SIGCONT)
        self._kill_group()

    def read(self) -> Iterator[Stopped | Exited | Ended]:
        """Yield what has happened since the last call. Blocks if there is nothing, at most until the command ends."""
        if self._ended is not None:
            yield self._ended
            return
        line = self._read_line()
        while True:
            what, _, value = line.partition(" ")
            match what:
                case "stopped":
                    yield Stopped(int(value))
                case "exited":
                    yield Exited(int(value))
                case "ended":
                    self._ended = Ended(int(value))
                case _:
                    self._ended = Ended(self._outlive_guardian())
            if self._ended is not None:
                yield self._ended
                return
            if b"\n" not in self._received:
                return
            line = self._read_line()

    def close(self) -> None:
        """Kill what is left of the command, and wait until it is gone."""
        if self._ended is None:
            self.kill()
            while self._ended is None:
                for _ in self.read():
                    pass
        self._channel.close()
        self._guardian.wait()
        with suppress(ChildProcessError):  # the guardian leaves it to us, or to the first process
            os.waitpid(self.pid, os.WNOHANG)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: str) -> None:
        with suppress(OSError):  # a guardian that has ended is noticed where it is read from
            self._channel.sendall(message.encode() + b"\n", socket.MSG_DONTWAIT)

    def _read_line(self, at_once: int = 4096) -> str:
        """The next line; empty if the guardian has ended."""
        while b"\n" not in self._received:
            try:
                chunk = self._channel.recv(at_once)
            except ConnectionError:
                chunk = b""
            if not chunk:
                return ""
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line.decode()

    def _kill_group(self) -> None:
        # Its number is not reused: the guardian does not wait for it, and after the guardian it is ours to wait for.
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def _outlive_guardian(self) -> int:
        """Kill what a guardian has left to us; the exit status of the command."""
        self._kill_group()
        self._guardian.wait()
        while living := reap(self.pid):
            signal_all(self.pid, signal.SIGKILL, living)
            time.sleep(BETWEEN_ROUNDS)
        if self.pid not in children():
            return -signal.SIGKILL
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
