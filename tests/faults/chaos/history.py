"""Histories: what each process saw, one JSON object a line, stamped with CLOCK_MONOTONIC.

Guarantees: each line is flushed before `write` returns, so that a process that is killed loses no more than a part of
its last line; the stamps of all processes of a machine are of one clock.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, Self, TextIO

Event = dict[str, Any]

now = time.monotonic


class History:
    """The history of one process. Any thread writes.

    Args:
        directory: where its files lie.
        who: the process: `controller`, `store`, or worker and life, such as `w3.1`.
        number: of the round; a file holds one round.
    """

    def __init__(self, directory: Path, who: str, number: int) -> None:
        self._directory = directory
        self.who = who
        self._lock = threading.Lock()
        self._file = self._open(number)

    def write(self, what: str, **fields: Any) -> None:
        """One event, at this moment unless `t` is given."""
        line = json.dumps({"t": now(), "who": self.who, "ev": what, **fields}, separators=(",", ":")) + "\n"
        with self._lock:
            self._file.write(line)

    def rotate(self, number: int) -> None:
        """What follows belongs to another round."""
        with self._lock:
            self._file.close()
            self._file = self._open(number)

    def close(self) -> None:
        """Nothing follows."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self, number: int) -> TextIO:
        return (self._directory / f"{number:05d}-{self.who}.jsonl").open("a", buffering=1, encoding="utf-8")


class Histories:
    """All histories in a directory, read as they grow."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets: dict[Path, int] = {}
        self.size = 0  # bytes read so far

    def read(self) -> list[Event]:
        """What came since the last time, in the order of its stamps."""
        events: list[Event] = []
        for path in sorted(self._directory.glob("*.jsonl")):
            offset = self._offsets.get(path, 0)
            with path.open("rb") as file:
                file.seek(offset)
                whole = file.read().rpartition(b"\n")[0]
            if whole:
                events += map(json.loads, whole.split(b"\n"))
                self._offsets[path] = offset + len(whole) + 1
                self.size += len(whole) + 1
        return sorted(events, key=lambda event: event["t"])

    def forget(self, number: int) -> None:
        """Delete the files of a round and those before it."""
        for path in list(self._offsets):
            if int(path.name.partition("-")[0]) <= number:
                path.unlink(missing_ok=True)
                del self._offsets[path]
