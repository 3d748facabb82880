"""Members that are processes of the operating system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.integration.shards.history import Held, read_history
from tests.support import LIMIT, Recorder, wait_until

T = 4.0  # seconds, the session timeout that is asked for
ROOT = Path(__file__).parents[3]


class MemberProcess:
    """One member; see member_process.py."""

    def __init__(self, hosts: str, namespace: str, count: int, history: Path, how: str, timeout: float = T) -> None:
        program = Path(__file__).with_name("member_process.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), hosts, namespace, str(count), str(history), how, str(timeout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        self.pid = self._process.pid
        self.said: Recorder[dict[str, Any]] = Recorder()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said(json.loads(line))

    @property
    def held(self) -> set[int]:
        """The shards that it has said it holds."""
        said = self.said.items
        return set(said[-1]["held"]) if said else set()

    def wait_held(self, predicate: Callable[[set[int]], bool], timeout: float = LIMIT) -> set[int]:
        """Wait until it holds what is wanted."""
        self.said.wait(lambda said: bool(said) and predicate(set(said[-1]["held"])), timeout)
        return self.held

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def finish(self) -> None:
        """Let it close its client, and wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.wait(LIMIT) == 0
        self._reader.join(LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT)
        self._reader.join(LIMIT)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class Group:
    """Processes that share out some shards among themselves."""

    def __init__(self, hosts: str, namespace: str, count: int, folder: Path) -> None:
        self.count = count
        self._arguments = hosts, namespace, count, folder / "history"
        self._members: list[MemberProcess] = []

    def start(self, how: str = "threads") -> MemberProcess:
        """Start one more member."""
        member = MemberProcess(*self._arguments, how)
        self._members.append(member)
        return member

    def wait_settled(self, *members: MemberProcess, timeout: float = 2 * LIMIT) -> None:
        """Wait until these hold all shards among them, in even parts."""

        def settled() -> bool:
            sizes = [len(member.held) for member in members]
            together = set().union(*(member.held for member in members))
            return max(sizes) - min(sizes) <= 1 and sum(sizes) == len(together) == self.count

        wait_until(settled, timeout)

    def history(self) -> dict[int, list[Held]]:
        """What they have written."""
        return read_history(self._arguments[3])

    def close(self) -> None:
        """Kill those that still run."""
        for member in self._members:
            member.__exit__()


@contextmanager
def group(hosts: str, namespace: str, count: int, folder: Path) -> Iterator[Group]:
    """A group that is empty at first."""
    made = Group(hosts, namespace, count, folder)
    try:
        yield made
    finally:
        made.close()
