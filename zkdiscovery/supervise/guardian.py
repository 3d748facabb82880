"""A small process that starts a command, and kills all of it at a deadline, whatever becomes of the supervisor.

`Child` runs this very file with `python -I -S`; it imports a few modules of the standard library, so it starts within
milliseconds. The two talk over a socket pair, one message a line:

    to the guardian      `signal N`      send a signal to the command's process group
                         `deadline S`    kill at S seconds of the lease clock, in place of the deadline before
                         end of file     the supervisor has ended: terminate the command, and kill it in time
    from the guardian    `started PID`, or `failed ERRNO` and nothing more
                         `stopped N`     signal N has stopped the command (Ctrl-Z)
                         `exited STATUS` the command has ended (-N: by signal N), and something of it is left
                         `ended STATUS`  the command has ended, and nothing of it is left

Guarantees:
    - At the deadline everything that the command has started gets SIGKILL. A supervisor that was killed or stopped
      changes nothing about it. A supervisor that has ended leaves `grace` seconds at most.
    - On Linux "everything" includes processes that left the group: the guardian adopts them when their parents end.
      Elsewhere it is the process group.
    - No signal hits a process that reuses a number: the guardian is the parent of what it signals, and it does not
      wait for the leader of the group before it ends itself.
    - The guardian is in a process group of its own and survives every signal that can be caught.
    - A guardian that is killed takes the leader of the group with it (Linux).

One thread.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

BETWEEN_ROUNDS = 0.02  # seconds between two rounds of signals to processes that have not gone yet
# The longest sleep, in seconds: a sleep takes no account of the time that the machine is suspended.
LONGEST_SLEEP = 0.2

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)  # and not SIGHUP, which tells many to reload
_FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS)
_NOT_CATCHABLE = (signal.SIGKILL, signal.SIGSTOP)
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def lease_now() -> float:
    """Seconds of the clock that deadlines are given in: that of leases, time asleep included."""
    return time.clock_gettime(_CLOCK)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parents end (Linux)."""
    _control(_PR_SET_CHILD_SUBREAPER, 1)


def children() -> list[int]:
    """Process ids of the children, those that nobody has waited for included; empty where that can't be told."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow to load
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def signal_all(group: int, number: int, others: list[int]) -> None:
    """Send a signal to a process group, and to children that have left it. The leader must not be waited for yet."""
    try:  # noqa: SIM105 - contextlib is slow to load
        os.killpg(group, number)
    except OSError:  # nobody is left, or the group runs as another user
        pass
    for pid in others:
        try:
            if os.getpgid(pid) != group:
                os.kill(pid, number)
        except OSError:
            pass


def reap(*keep: int) -> list[int]:
    """Wait for the children that have ended, but for `keep`; the other children, which live."""
    living = []
    for pid in children():
        if pid not in keep:
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    living.append(pid)
            except ChildProcessError:
                pass
    return living


def _ignore(_number: int, _frame: object) -> None:
    """Survive a signal. In place of SIG_IGN, which the command would inherit."""


class Guardian:
    """The command, and what is known of it.

    Args:
        channel: file descriptor of the socket to the supervisor.
        deadline: seconds of the lease clock.
        grace: seconds from SIGTERM to SIGKILL where the guardian decides: after the end of the supervisor, and for what
            outlives the command.
        terminal: file descriptor of the terminal whose foreground group the command becomes; -1: none.
    """

    def __init__(self, channel: int, deadline: float, grace: float, terminal: int) -> None:
        self._channel = channel
        self._deadline = deadline
        self._grace = grace
        self._terminal = terminal
        self._received = b""
        self._leader = 0
        self._status: int | None = None
        self._told = False  # the command was told to end
        self._outlived = False  # by what it has started, which the supervisor was told
        self._limit = float("inf")  # as the deadline, but set by the guardian
        self._orphaned = False  # the supervisor has ended

    def start(self, argv: list[str]) -> bool:
        """Start the command; False if it can't be started, which the supervisor is told."""
        reading, writing = os.pipe()  # closed by a successful exec
        self._leader = os.fork()
        if self._leader == 0:
            try:
                self._become(argv)
            except OSError as error:
                os.write(writing, str(error.errno).encode())
            finally:
                os._exit(127)
        os.close(writing)
        failure = os.read(reading, 16)
        os.close(reading)
        self._tell(f"failed {failure.decode()}" if failure else f"started {self._leader}")
        return not failure

    def _become(self, argv: list[str]) -> None:
        """Turn into the command, in a forked child."""
        os.setpgid(0, 0)
        _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if self._terminal >= 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})  # that stops a background group which takes it
            os.tcsetpgrp(self._terminal, os.getpid())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python
            signal.signal(number, signal.SIG_DFL)
        if lease_now() < self._deadline:  # all of us may have been stopped meanwhile
            os.execvp(argv[0], argv)  # noqa: S606 - starts what it was asked to
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, wakeup: int) -> None:
        """Look after the command until nothing of it is left.

        Args:
            wakeup: file descriptor that becomes readable when a child has ended.
        """
        while True:
            living = self._look()
            now = lease_now()
            left = min(self._deadline, self._limit) - now
            if left <= 0:
                signal_all(self._leader, signal.SIGKILL, living)
            if self._status is not None:
                if not living:
                    break
                if not self._outlived:
                    self._outlived = True
                    self._tell(f"exited {self._status}")
                self._end(living)
            # A killed process takes a while to go, and those that it has started become ours only then.
            sleep = BETWEEN_ROUNDS if left <= 0 else min(LONGEST_SLEEP, left)
            watched = [wakeup] if self._orphaned else [wakeup, self._channel]
            ready = select.select(watched, [], [], sleep)[0]
            if wakeup in ready:
                os.read(wakeup, 4096)
            if self._channel in ready:
                self._receive(living)
        if sys.platform != "linux":  # nobody can tell whether the group is empty
            signal_all(self._leader, signal.SIGKILL, [])
        self._tell(f"ended {self._status}")

    def _look(self) -> list[int]:
        """Note whether the command has ended or stopped; the other children that live."""
        living = reap(self._leader)
        if self._status is None:
            found = os.waitid(os.P_PID, self._leader, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
            if found is not None and found.si_code == os.CLD_STOPPED:
                os.waitid(os.P_PID, self._leader, os.WSTOPPED | os.WNOHANG)
                self._tell(f"stopped {found.si_status}")
            elif found is not None:
                self._status = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
                living = reap(self._leader)  # with those whose parent it was
        return living

    def _end(self, living: list[int]) -> None:
        """End what is still there: SIGTERM unless it was told already, SIGKILL after the grace."""
        if self._limit == float("inf"):
            self._limit = lease_now() + self._grace
            if not self._told:
                signal_all(self._leader, signal.SIGTERM, living)
                signal_all(self._leader, signal.SIGCONT, living)

    def _receive(self, living: list[int]) -> None:
        try:
            chunk = os.read(self._channel, 4096)
        except OSError:
            chunk = b""
        if not chunk:
            self._orphaned = True
            self._end(living)
            return
        *lines, self._received = (self._received + chunk).split(b"\n")
        for line in lines:
            what, value = line.split()
            if what == b"deadline":
                self._deadline = float(value)
            elif what == b"signal":
                number = int(value)
                self._told = self._told or number in _ENDING
                signal_all(self._leader, number, [])

    def _tell(self, message: str) -> None:
        try:  # noqa: SIM105 - contextlib is slow to load
            os.write(self._channel, message.encode() + b"\n")
        except OSError:  # the supervisor has ended
            pass


def main(channel: str, deadline: str, grace: str, terminal: str, *argv: str) -> None:
    """Run as the guardian of `argv`."""
    wakeup, writing = os.pipe()
    for fd in (wakeup, writing):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in signal.valid_signals() - {*_FAULTS, *_NOT_CATCHABLE}:
        # What is ignored already stays so for the command, too (nohup). If SIGCHLD is, nobody can wait for a child.
        if number == signal.SIGCHLD or signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _ignore)
    adopt_orphans()
    os.set_inheritable(int(channel), False)
    guardian = Guardian(int(channel), float(deadline), float(grace), int(terminal))
    if guardian.start(list(argv)):
        guardian.watch(wakeup)


if __name__ == "__main__":
    main(*sys.argv[1:])
