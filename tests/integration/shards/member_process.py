"""A process that is a member of shards, until it is told a line or gets SIGTERM.

member_process.py <hosts> <namespace> <count> <history> <threads|asyncio> [<session timeout>]

It says on standard output, as JSON, which shards it holds, whenever that changes. Into the file `history` it writes a
line for each look at a shard: see history.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading

from zkdiscovery import AsyncClient, AsyncShard, Client, Shard, close_on_signals
from zkdiscovery.session.clock import lease_now

NAME = "orders"
LOOK = 0.1  # seconds between two looks


class Writer:
    """Appends to the history. A line is one write, so a killed process leaves whole ones."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def look(self, shard: Shard | AsyncShard, what: str) -> None:
        """Write what is seen of a shard now."""
        at = lease_now()
        remaining = shard.hold.remaining
        line = {
            "pid": os.getpid(), "shard": shard.number, "fence": shard.hold.fence, "what": what, "at": at,
            "until": at + remaining, "lost": remaining == 0.0,
        }  # fmt: skip
        os.write(self._file, json.dumps(line).encode() + b"\n")


def say(held: tuple[int, ...]) -> None:
    """One line, whole."""
    os.write(1, json.dumps({"held": held, "at": lease_now()}).encode() + b"\n")


def on_threads(client: Client, count: int, writer: Writer) -> None:
    """Be a member with the sync client."""

    def consume(shard: Shard) -> None:
        writer.look(shard, "begin")
        while not shard.wait_lost(LOOK):
            writer.look(shard, "look")
        writer.look(shard, "end")

    shards = client.shards(NAME, count=count)
    shards.on_change(say)
    shards.run(consume)


async def on_a_loop(client: AsyncClient, count: int, writer: Writer) -> None:
    """Be a member with the async client."""

    async def consume(shard: AsyncShard) -> None:
        writer.look(shard, "begin")
        try:
            while True:
                await asyncio.sleep(LOOK)
                writer.look(shard, "look")
        finally:
            writer.look(shard, "end")

    shards = client.shards(NAME, count=count)
    shards.on_change(say)
    await shards.run(consume)


def main(hosts: str, namespace: str, count: str, history: str, how: str, timeout: str = "2.0") -> None:
    """Be a member until the client closes."""
    client = Client(hosts, namespace=namespace, session_timeout=float(timeout))
    close_on_signals(client)

    def close_when_told() -> None:
        sys.stdin.readline()
        client.close()

    threading.Thread(target=close_when_told, daemon=True).start()
    if how == "threads":
        on_threads(client, int(count), Writer(history))
    else:
        asyncio.run(on_a_loop(AsyncClient.of(client), int(count), Writer(history)))


if __name__ == "__main__":
    main(*sys.argv[1:])
