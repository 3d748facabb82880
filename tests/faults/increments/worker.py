"""A process that increments a number so many times, each time as the holder of a lock.

    python -m tests.faults.increments.worker HOSTS NAMESPACE MODE TIMES T FOLDER NUMBER

In each mode two holders at the same time would lose an increment:

- `fenced`: the number is in a file, read and written with the fence of the hold. The file refuses a fence smaller than
  the largest that it has seen.
- `guarded`: the number is a counter, which is read, then set with `guard=hold`.
- `plain`: the number is a counter; `add` without any lock.

After SIGUSR1 the process stops itself with SIGSTOP the next time that it holds the lock, right before it writes. It
writes its figures into FOLDER in the end.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from tests.loops import LoopThread
from zkdiscovery import AsyncClient, Client, HoldLost, NotConnected, OperationTimeout
from zkdiscovery.znodes import BaseHold

NAME = "number"
PATIENCE = 30.0  # seconds for one operation: more than any outage here lasts


@dataclasses.dataclass
class Figures:
    """What one process has done.

    Attributes:
        values: the number after each of its increments.
        lost: holds of which the process has known before it wrote that they were lost.
        refused: writes that were refused because the hold was over.
        by_zookeeper: how many of these ZooKeeper itself has refused.
        unknown: increments whose outcome nobody can tell; each may be missing or surplus.
        misses: times that the lock was not free or ZooKeeper did not answer in time.
    """

    values: list[int] = dataclasses.field(default_factory=list)
    lost: int = 0
    refused: int = 0
    by_zookeeper: int = 0
    unknown: int = 0
    misses: int = 0


class StaleError(Exception):
    """The store has seen a larger fence."""


class Number(Protocol):
    """A number that is read, then written by the same holder."""

    def read(self, hold: BaseHold) -> int: ...

    def write(self, hold: BaseHold, value: int) -> None: ...


class FencedFile:
    """A number in a file, with the largest fence that has read it. Each access locks the file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)

    def read(self, hold: BaseHold) -> int:
        """Read the number, and refuse smaller fences from now on."""
        return self._access(hold, None)

    def write(self, hold: BaseHold, value: int) -> None:
        """Write the number."""
        self._access(hold, value)

    def _access(self, hold: BaseHold, value: int | None) -> int:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            fence, number = map(int, os.pread(self._file, 100, 0).split() or (0, 0))
            if hold.fence < fence:
                raise StaleError
            number = number if value is None else value
            os.pwrite(self._file, f"{hold.fence} {number}\n".ljust(60).encode(), 0)
            return number
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


class OnThreads:
    """The sync client."""

    def __init__(self, client: Client) -> None:
        self._lock = client.lock(NAME)
        self._counter = client.counter(NAME)

    def acquire(self) -> BaseHold:
        return self._lock.acquire(PATIENCE)

    def add(self) -> int:
        return self._counter.add(timeout=PATIENCE)

    def read(self, hold: BaseHold) -> int:
        return self._counter.value(PATIENCE)

    def write(self, hold: BaseHold, value: int) -> None:
        self._counter.set(value, guard=hold, timeout=PATIENCE)


class OnALoop:
    """The async client."""

    def __init__(self, client: AsyncClient, loop: LoopThread) -> None:
        self._run = loop.run
        self._lock = client.lock(NAME)
        self._counter = client.counter(NAME)

    def acquire(self) -> BaseHold:
        return self._run(self._lock.acquire(PATIENCE))

    def add(self) -> int:
        return self._run(self._counter.add(timeout=PATIENCE))

    def read(self, hold: BaseHold) -> int:
        return self._run(self._counter.value(PATIENCE))

    def write(self, hold: BaseHold, value: int) -> None:
        self._run(self._counter.set(value, guard=hold, timeout=PATIENCE))


class Worker:
    """Takes turns until it has incremented the number often enough."""

    def __init__(self, zookeeper: OnThreads | OnALoop, number: Number | None) -> None:
        self._zookeeper = zookeeper
        self._number = number
        self._stop = False
        self.figures = Figures()
        signal.signal(signal.SIGUSR1, self._stop_soon)

    def _stop_soon(self, *_: Any) -> None:
        self._stop = True

    def run(self, times: int) -> None:
        """Increment so many times. An increment that may have been made is not repeated."""
        figures = self.figures
        while len(figures.values) + figures.unknown < times:
            try:
                value = self._zookeeper.add() if self._number is None else self._take_turn(self._number)
            except (OperationTimeout, NotConnected) as error:
                figures.unknown += error.outcome_unknown
                figures.misses += not error.outcome_unknown
            else:
                if value is not None:
                    figures.values.append(value)

    def _take_turn(self, number: Number) -> int | None:
        """Increment the number as the holder. None if the hold was lost."""
        figures, hold = self.figures, self._zookeeper.acquire()
        checked = False
        try:
            value = number.read(hold) + 1
            hold.check()
            checked = True
            if self._stop:
                self._stop = False
                os.kill(os.getpid(), signal.SIGSTOP)
            number.write(hold, value)
        except (HoldLost, StaleError) as error:
            figures.lost += not checked
            figures.refused += checked
            figures.by_zookeeper += checked and "ZooKeeper refused the write" in str(error)
            return None
        finally:
            hold.release()
        return value


def main(hosts: str, namespace: str, mode: str, times: str, timeout: str, folder: str, number: str) -> None:
    """Take all turns, and write the figures."""
    with ExitStack() as stack:
        client = stack.enter_context(Client(hosts, namespace=namespace, session_timeout=float(timeout)))
        zookeeper: OnThreads | OnALoop
        if int(number) % 2:
            zookeeper = OnALoop(AsyncClient.of(client), stack.enter_context(LoopThread()))
        else:
            zookeeper = OnThreads(client)
        numbers: dict[str, Number | None] = {
            "fenced": FencedFile(Path(folder, "number")) if mode == "fenced" else None,
            "guarded": zookeeper,
            "plain": None,
        }
        worker = Worker(zookeeper, numbers[mode])
        Path(folder, f"{number}.ready").touch()
        worker.run(int(times))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # too late: there is nothing more to hold
    Path(folder, f"{number}.json").write_text(json.dumps(dataclasses.asdict(worker.figures)))


if __name__ == "__main__":
    main(*sys.argv[1:])
