"""A member of a rolling restart: a process that owns shards, with ours or with kazoo's `SetPartitioner`.

shard_member.py <zkdiscovery|kazoo> <hosts> <namespace> <count> <file>

It appends a line to the file when it begins to own a shard, and when it ends: `<begin|end> <shard> <seconds>`, of the
monotonic clock. It leaves in order at SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from benchmarks.common import SESSION_TIMEOUT

TIME_BOUNDARY = 1.0  # seconds for which kazoo's members must be stable; 30 by default. Ours merges joins as long


class Log:
    """The file."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, what: str, shard: object) -> None:
        """Append a line, whole."""
        os.write(self._file, f"{what} {shard} {time.monotonic()}\n".encode())


def ours(hosts: str, namespace: str, count: int, log: Log) -> None:
    """Own shards with zkdiscovery."""
    from zkdiscovery import Client, Shard, close_on_signals  # noqa: PLC0415 - each program loads its own library

    client = Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT)
    close_on_signals(client)

    def consume(shard: Shard) -> None:
        log("begin", shard.number)
        shard.wait_lost(None)
        log("end", shard.number)

    client.shards("orders", count=count).run(consume)


def kazoo(hosts: str, namespace: str, count: int, log: Log) -> None:
    """Own partitions with kazoo, as its documentation shows."""
    from kazoo.client import KazooClient  # noqa: PLC0415

    client = KazooClient(hosts, timeout=SESSION_TIMEOUT)
    client.start()
    told, changed = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: (told.set(), changed.set()))
    partitioner = client.SetPartitioner(
        f"{namespace}/orders",
        set=tuple(range(count)),
        identifier=f"member-{os.getpid()}",
        time_boundary=TIME_BOUNDARY,
        state_change_event=changed,
    )
    owned: list[int] = []

    def end() -> None:
        while owned:
            log("end", owned.pop())

    while not told.is_set():
        if partitioner.failed:
            raise SystemExit("kazoo's partitioner has failed")
        if partitioner.release:
            end()
            partitioner.release_set()
        elif partitioner.acquired:
            if not owned:
                owned += list(partitioner)
                for shard in owned:
                    log("begin", shard)
            changed.wait(0.05)
            changed.clear()
        elif partitioner.allocating:
            partitioner.wait_for_acquire(0.05)
    end()
    partitioner.finish()
    client.stop()
    client.close()


def main(way: str, hosts: str, namespace: str, count: str, path: str) -> None:
    """Be a member until SIGTERM."""
    {"zkdiscovery": ours, "kazoo": kazoo}[way](hosts, namespace, int(count), Log(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
