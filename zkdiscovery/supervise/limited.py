"""Short commands that run beside the program, such as checks: each in a process group of its own, for a limited time.

Guarantees
- At its limit all of the group gets SIGKILL. When the command ends by itself, so does what it left in its group.
- Nothing of it stays a zombie: the command is waited for, and so are processes of its group that became ours.
- No run begins while something of the run before is left.
- At most `OUTPUT` bytes of what it writes are kept. The rest is read and dropped, so that it never waits for a reader.
- No signal hits a process that reuses a number: the leader of the group is waited for after the group was killed.
- Its exit status is its own: if other code of this process has waited for it, that is an error, and no success.

If this process itself is killed, the command goes on.

Threads: any thread runs a command, one at a time for each `LimitedCommand`; any thread kills it. `reap_orphans` leaves
the commands to whoever runs them.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

OUTPUT = 4096  # bytes

_POLL = 0.02  # seconds between two looks where no descriptor tells of the end of a process
_GONE_WITHIN = 1.0  # seconds that killed processes may take to go


class Run(NamedTuple):
    """A run that is over.

    Attributes:
        status: the exit status; -N: signal N has ended it; None: the time was over.
        output: the beginning of what it wrote, both streams together.
    """

    status: int | None
    output: bytes


class StatusLost(Exception):  # noqa: N818 - it says what happened
    """Other code of this process has waited for the command, or ignores SIGCHLD, so nobody knows how it ended."""


class LimitedCommand:
    """A command that is run now and then. See above.

    Args:
        argv: the program, searched in PATH, and its arguments.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        self._lock = threading.Lock()
        self._pid = 0  # of the run under way
        self._left = 0  # group of a run of which something could not be ended
        self._closed = False

    def run(self, timeout: float) -> Run:
        """Run it once, for at most `timeout` seconds, and a second more if the kernel holds on to what was killed.

        Raises:
            OSError: it can't be started.
            StatusLost: nobody knows how it ended.
        """
        if self._left and not _wait_for_group(self._left, time.monotonic()):
            raise OSError(0, "the run before was killed, and the kernel has not let go of it yet")
        self._left = 0
        deadline = time.monotonic() + timeout
        reading, writing = os.pipe()
        try:
            os.set_blocking(reading, False)
            try:
                process = self._start(writing)
            finally:
                os.close(writing)
            try:
                output = bytearray()
                in_time = _watch(process.pid, reading, output, deadline)
                return self._end(process, reading, output, in_time=in_time)
            except StatusLost:
                process.returncode = 0  # or its destructor waits for it
                raise
            finally:
                with self._lock:
                    self._pid = 0
                _release(process.pid)
        finally:
            os.close(reading)

    def close(self) -> None:
        """Kill the run under way. Never blocks."""
        with self._lock:
            self._closed = True
            if self._pid:
                _kill_group(self._pid)

    def _start(self, writing: int) -> subprocess.Popen[bytes]:
        with _claiming:  # or the reaper of orphans may come first
            process = subprocess.Popen(  # noqa: S603 - what the user has asked for
                self._argv, stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, process_group=0
            )
            _claimed.add(process.pid)
        with self._lock:
            self._pid = process.pid
            if self._closed:
                _kill_group(self._pid)
        return process

    def _end(self, process: subprocess.Popen[bytes], reading: int, output: bytearray, *, in_time: bool) -> Run:
        """Kill what is left, and wait for it."""
        with self._lock:
            self._pid = 0  # its number is another's once it was waited for
            _kill_group(process.pid)
        until = time.monotonic() + _GONE_WITHIN
        status = _wait_for(process.pid, until)
        process.returncode = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
        if status is None or not _wait_for_group(process.pid, until):
            self._left = process.pid
        _read(reading, output)
        return Run(process.returncode if in_time else None, bytes(output))


def _watch(pid: int, reading: int, output: bytearray, deadline: float) -> bool:
    """Read what a command writes until it ends; False if the time is over before."""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    with _end_of(pid) as fd:
        if fd is not None:
            poll.register(fd, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = poll.poll(1000 * (left if fd is not None else min(left, _POLL)))
            if any(found == reading for found, _ in ready) and not _read(reading, output):
                poll.unregister(reading)  # closed by the command, which may go on
            if _has_ended(pid):
                return True
    return False


@contextmanager
def _end_of(pid: int) -> Iterator[int | None]:
    """A descriptor that becomes readable when a process ends; None if the system has none."""
    try:
        fd = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _has_ended(pid: int) -> bool:
    """Has a child ended? It is not waited for.

    Raises:
        StatusLost: other code has waited for it.
    """
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        raise StatusLost from None


def _read(reading: int, output: bytearray) -> bool:
    """Read what there is, up to the size of a pipe, and keep the beginning; False at its end."""
    try:
        chunk = os.read(reading, 65_536)
    except BlockingIOError:
        return True
    output += chunk[: OUTPUT - len(output)]
    return bool(chunk)


def _kill_group(group: int) -> None:
    with suppress(OSError):  # nobody is left, or it runs as another user
        os.killpg(group, signal.SIGKILL)


def _wait_for(pid: int, until: float) -> int | None:
    """Wait for a child; its status, or None if it is still there at `until`, in monotonic seconds.

    Raises:
        StatusLost: other code has waited for it.
    """
    while True:
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            raise StatusLost from None
        if found or time.monotonic() >= until:
            return status if found else None
        time.sleep(_POLL / 4)


def _wait_for_group(group: int, until: float) -> bool:
    """Wait for our children in a group; True if there is none any more.

    They are the orphans of a command if this is the first process of a container, or has adopted them.
    """
    while True:
        try:
            found, _ = os.waitpid(-group, os.WNOHANG)
        except ChildProcessError:
            return True
        if not found:
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL / 4)


# -- the numbers that nobody else may wait for --

_claiming = threading.Lock()
_claimed: set[int] = set()


def _release(pid: int) -> None:
    with _claiming:
        _claimed.discard(pid)


@contextmanager
def claimed_processes() -> Iterator[frozenset[int]]:
    """Hold back new commands in the block; the processes that somebody here waits for."""
    with _claiming:
        yield frozenset(_claimed)


def _forget() -> None:
    """In a forked child: the commands are the parent's, and so is whoever holds the lock."""
    global _claiming  # noqa: PLW0603 - one for each process
    _claiming = threading.Lock()
    _claimed.clear()


os.register_at_fork(after_in_child=_forget)
