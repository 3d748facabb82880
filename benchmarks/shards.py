"""How long is a shard without an owner while eight members are restarted, one after the other?

Each member is a process that owns some of 64 shards. It gets SIGTERM and leaves in order. When the others own all
shards, a new process takes its place, and the next member follows when all eight own shards. kazoo's `SetPartitioner`
waits until its members have been stable for a time, 30 s by default; here 1 s, as long as ours waits for joins.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import LIMIT, Bench, main
from benchmarks.figures import OURS, Figure, Row, Target

WAYS = (OURS, "kazoo")
ROOT = Path(__file__).parents[1]
LOOK = 0.05  # seconds between two looks at what the members have written


class Gaps(NamedTuple):
    """What one rolling restart did to the shards.

    Attributes:
        without: by shard, the seconds in all during which nobody owned it.
        longest: by shard, the longest of these times.
        moves: how often a shard changed its owner.
    """

    without: list[float]
    longest: list[float]
    moves: int


class Members:
    """The processes, and what they have written."""

    def __init__(self, way: str, hosts: str, namespace: str, count: int, folder: Path) -> None:
        self._command = [sys.executable, "-m", "benchmarks.shard_member", way, hosts, namespace, str(count)]
        self._count = count
        self._folder = folder
        self.running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self) -> None:
        """Start one more."""
        file = self._folder / secrets.token_hex(4)
        file.touch()
        process = subprocess.Popen([*self._command, str(file)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        self.running.append((process, file))

    def stop_first(self) -> None:
        """Tell the oldest one to leave. It ends by itself, at the latest with `close`."""
        process, _ = self.running.pop(0)
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)

    def wait_settled(self) -> None:
        """Wait until those that run own all shards, and each of them owns some."""
        end = time.monotonic() + LIMIT
        while True:
            owned = [_owned(file) for _, file in self.running]
            if all(owned) and sum(map(len, owned)) == self._count == len(set().union(*owned)):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"the members have not settled: {[len(each) for each in owned]}")
            time.sleep(LOOK)

    def gaps(self, begin: float, end: float) -> Gaps:
        """The times without an owner between two moments."""
        changes: dict[int, list[tuple[float, int]]] = defaultdict(list)
        for file in self._folder.iterdir():
            for what, shard, at in _lines(file):
                changes[shard].append((at, 1 if what == "begin" else -1))
        without, longest, moves = [], [], 0
        for shard in range(self._count):
            owners, since, times = 0, begin, [0.0]
            for at, change in sorted(changes[shard]):
                if owners == 0 and begin < at < end:
                    times.append(at - max(since, begin))
                    moves += 1
                owners += change
                since = at
            without.append(sum(times))
            longest.append(max(times))
        return Gaps(without, longest, moves)

    def close(self) -> None:
        """End those that still run."""
        for process, _ in self.running:
            process.kill()
            process.wait(LIMIT)


def _lines(file: Path) -> list[tuple[str, int, float]]:
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(what, int(shard), float(at)) for what, shard, at in lines]


def _owned(file: Path) -> set[int]:
    owned: set[int] = set()
    for what, shard, _ in _lines(file):
        (owned.add if what == "begin" else owned.discard)(shard)
    return owned


def restart(bench: Bench, way: str, members: int, count: int) -> Gaps:
    """Start the members, restart each of them, and tell what became of the shards."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        group = Members(way, bench.hosts, bench.namespace(), count, Path(folder))
        stack.callback(group.close)
        for _ in range(members):
            group.start()
        group.wait_settled()
        begin = time.monotonic()
        for number in range(members):
            group.stop_first()
            group.wait_settled()
            group.start()
            group.wait_settled()
            bench.say(f"{way}: {number + 1} of {members} restarted")
        end = time.monotonic()
        return group.gaps(begin, end)


def measure(bench: Bench) -> list[Row]:
    """One rolling restart with each way; the figures are over the shards."""
    members, count = (3, 12) if bench.quick else (8, 64)
    found = {way: restart(bench, way, members, count) for way in WAYS}
    what = f"restart of {members} members, {count} shards: "
    return [
        Row(
            f"{what}a shard without an owner, in all",
            "s",
            {way: Figure.of(gaps.without) for way, gaps in found.items()},
            [Target(0.1, "kazoo")],
        ),
        Row(
            f"{what}the longest time without an owner",
            "s",
            {way: Figure.of([max(gaps.longest)]) for way, gaps in found.items()},
        ),
        Row(
            f"{what}shards that change their owner",
            "times",
            {way: Figure.of([float(gaps.moves)]) for way, gaps in found.items()},
        ),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
