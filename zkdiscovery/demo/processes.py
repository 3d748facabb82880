"""The processes of the demo, seen from their parent.

Threads: one for each node reads its reports. Attributes are replaced in one assignment and may be read by any thread.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Self

END_LIMIT = 5.0  # seconds that all nodes may take to end when the demo does


class Leadership(NamedTuple):
    """A node's report of its term; monotonic seconds."""

    fence: int
    since: float
    lease_end: float


class Turn(NamedTuple):
    """A node's report of a turn at the lock; monotonic seconds."""

    began: float
    ended: float
    fence: int


class Node:
    """One node: a process of its own.

    Attributes:
        name: also its instance id and its candidate id.
        port: TCP port that it serves; None before it listens.
        listening, registered: monotonic seconds when it did; None before.
        leadership: its term, as last reported; kept after a kill.
        turns: its turns at the lock so far.
        shards: the numbers of those that it holds, as last reported; kept after a kill.
        process: the state of the process: "running", "stopping", "stopped", "killed" or "failed".
    """

    def __init__(self, name: str, arguments: list[str], notify: Callable[[str], None]) -> None:
        self.name = name
        self.port: int | None = None
        self.listening: float | None = None
        self.registered: float | None = None
        self.leadership: Leadership | None = None
        self.turns: tuple[Turn, ...] = ()
        self.shards: tuple[int, ...] = ()
        self.process = "running"
        self.remarks: deque[str] = deque(maxlen=20)  # the last lines that are no reports
        self._notify = notify
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "zkdiscovery.demo.node", *arguments, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C in the terminal reaches the demo alone, which then ends in order
        )
        self._reader = threading.Thread(target=self._read, name=f"demo-{name}", daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """True if it runs and was not told to end."""
        return self.process == "running"

    def tell(self, task: str) -> None:
        """Let it begin a task; one that has ended is told nothing."""
        assert self._popen.stdin is not None  # noqa: S101 - for mypy
        with contextlib.suppress(OSError):
            self._popen.stdin.write(f"{task}\n")
            self._popen.stdin.flush()

    def stop(self) -> float:
        """Ask it to end (SIGTERM); returns the monotonic time in seconds."""
        self.process = "stopping"
        at = time.monotonic()
        self._popen.terminate()
        return at

    def kill(self) -> float:
        """Kill it (SIGKILL); returns the monotonic time in seconds."""
        self.process = "killed"
        at = time.monotonic()
        self._popen.kill()
        return at

    def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for its end, then kill it."""
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(END_LIMIT)
        self._reader.join(END_LIMIT)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None  # noqa: S101 - for mypy
        for line in self._popen.stdout:
            try:
                news = self._take(json.loads(line))
            except (ValueError, TypeError, KeyError):
                if remark := line.rstrip():  # a warning of the SDK, or a traceback
                    self.remarks.append(remark)
                    self._notify(f"log of {self.name}: {remark}")
            else:
                self._notify(news)
        status = self._popen.wait()
        if self.process == "running":
            self.process = "failed"
            self._notify(
                f"{self.name} ended by itself, with status {status}: {self.remarks[-1] if self.remarks else ''}"
            )
        elif self.process == "stopping":
            self.process = "stopped"
            self._notify(f"{self.name} has ended")

    def _take(self, report: dict[str, Any]) -> str:
        """Take a report, and return a line for people about it, or an empty string."""
        before = self.leadership
        if "port" in report:
            self.port, self.listening = report["port"], report["listening"]
            return f"{self.name} listens on 127.0.0.1:{self.port}"
        if "registered" in report:
            self.registered = report["registered"]
            return ""
        if "turn" in report:
            self.turns = (*self.turns, Turn(report["began"], report["ended"], report["turn"]))
            return ""
        if "shards" in report:
            self.shards = tuple(report["shards"])
            return f"{self.name} holds the shards {', '.join(map(str, self.shards)) or '–'}"
        if report["fence"] is None:
            self.leadership = None
            return f"{self.name} leads no more"
        self.leadership = Leadership(report["fence"], report["since"], report["lease_end"])
        new = before is None or before.fence != self.leadership.fence
        return f"{self.name} leads, fence {self.leadership.fence}" if new else ""


class Processes:
    """All nodes, in the order of their start.

    Args:
        arguments: the arguments of each node: hosts and namespace.
        notify: called on any thread when something changed, with a line for people or an empty string.
    """

    def __init__(self, arguments: list[str], notify: Callable[[str], None]) -> None:
        self.nodes: tuple[Node, ...] = ()
        self._arguments = arguments
        self._notify = notify

    def start(self) -> Node:
        """Start one more node; returns at once."""
        node = Node(f"node-{len(self.nodes) + 1}", self._arguments, self._notify)
        self.nodes = (*self.nodes, node)
        return node

    @property
    def alive(self) -> tuple[Node, ...]:
        """The nodes that run and were not told to end."""
        return tuple(node for node in self.nodes if node.alive)

    @property
    def shards(self) -> list[int]:
        """The numbers of the shards that live nodes hold, in order; one that two hold is there twice."""
        return sorted(number for node in self.alive for number in node.shards)

    @property
    def leader(self) -> tuple[Node, Leadership] | None:
        """The node that reports a valid lease, with its term; None if no live one does."""
        now = time.monotonic()
        leading = ((node, node.leadership) for node in self.alive)
        return next(((node, term) for node, term in leading if term is not None and term.lease_end > now), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for node in self.nodes:
            if node.alive:
                with contextlib.suppress(ProcessLookupError):
                    node.stop()
        end = time.monotonic() + END_LIMIT
        for node in self.nodes:
            node.close(max(0.0, end - time.monotonic()))
