"""The identity of a process of this machine, and whether it still runs.

A number of a process means something in its pid namespace alone, and is given out again. So a process is known by the
machine's boot id, its namespaces, its number and the time at which it started. Two containers may share the first and
the third, and their processes may have equal numbers.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import NamedTuple

from zkdiscovery.registration.machine import UNKNOWN, machine

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19  # fields of `/proc/<pid>/stat` behind the name of the program: its 3rd and 22nd
_GONE = frozenset({"Z", "X", "x"})  # a zombie has closed its sockets


class Process(NamedTuple):
    """A process.

    Attributes:
        machine: boot id of its machine.
        namespace: of its number and of the clock by which `started` counts; "" if the system does not tell: nobody can
            find out then whether it runs.
        pid: its number.
        started: clock ticks between the boot and its start.
    """

    machine: str
    namespace: str
    pid: int
    started: int


def this_process() -> Process:
    """The calling process."""
    return _describe(os.getpid())


@functools.lru_cache(maxsize=1)
def _describe(pid: int) -> Process:
    try:
        # Another number: /proc shows another pid namespace than ours.
        namespace = _namespace() if str((_PROC / "self").readlink()) == str(pid) else ""
        return Process(machine(), namespace, pid, int(_stat(pid)[_STARTED]) if namespace else 0)
    except (OSError, ValueError, IndexError):
        return Process(machine(), "", pid, 0)


def _namespace() -> str:
    namespaces = _PROC / "self" / "ns"
    try:
        clock = (namespaces / "time").readlink()
    except FileNotFoundError:  # Linux before 5.6
        clock = Path("time:[]")
    return f"{(namespaces / 'pid').readlink()} {clock}"


def can_tell(process: Process) -> bool:
    """True if the calling process can find out whether another one runs."""
    own = this_process()
    if own.machine == UNKNOWN or not own.namespace:
        return False
    return (process.machine, process.namespace) == (own.machine, own.namespace)


def has_ended(process: Process) -> bool:
    """True if it runs no more; False if it runs, or nobody can tell."""
    if not can_tell(process):
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # of another user, whose files in /proc may be hidden
        pass
    try:
        stat = _stat(process.pid)
        return stat[_STATE] in _GONE or int(stat[_STARTED]) != process.started
    except (OSError, ValueError, IndexError):
        return False


def _stat(pid: int) -> list[str]:
    text = (_PROC / str(pid) / "stat").read_text()
    return text[text.rindex(")") + 1 :].split()  # the name of the program may have blanks and parentheses
