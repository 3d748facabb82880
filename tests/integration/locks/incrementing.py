"""A process that increments a number in a file under a lock, so many times.

incrementing.py <hosts> <namespace> <file> <times> <threads|asyncio>

Prints one line for each turn: the fence, and what the file held.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from zkdiscovery import AsyncClient, Client, HoldLost, NotConnected, OperationTimeout

MISSES = (HoldLost, OperationTimeout, NotConnected)  # the turn begins anew


def increment(path: Path, fence: int) -> None:
    """Read, add one, write: two who do this at the same time lose an increment."""
    number = int(path.read_text())
    path.write_text(str(number + 1))
    print(fence, number, flush=True)


def on_threads(client: Client, path: Path, times: int) -> None:
    """Take turns with the sync client."""
    lock = client.lock("invoice")
    while times:
        try:
            hold = lock.acquire(10.0)
        except MISSES:
            continue
        if not hold.lost:
            increment(path, hold.fence)
            times -= 1
        hold.release()


async def on_a_loop(client: AsyncClient, path: Path, times: int) -> None:
    """Take turns with the async client."""
    lock = client.lock("invoice")
    while times:
        try:
            hold = await lock.acquire(10.0)
        except MISSES:
            continue
        if not hold.lost:
            increment(path, hold.fence)
            times -= 1
        hold.release()


def main(hosts: str, namespace: str, file: str, times: str, how: str) -> None:
    """Take all turns, and close the client."""
    with Client(hosts, namespace=namespace, session_timeout=4.0) as client:
        if how == "threads":
            on_threads(client, Path(file), int(times))
        else:
            asyncio.run(on_a_loop(AsyncClient.of(client), Path(file), int(times)))


if __name__ == "__main__":
    main(*sys.argv[1:])
