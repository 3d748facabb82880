"""A process that takes turns at a lock: `turns.py <who> <hosts>`, with commands as of `Program`.

The only command is `turns`, with the path of the lock, its kind (mutex or read-write) and how many turns. A turn is
[kind, begin, end] with the monotonic clock of the machine in nanoseconds, as those of Locks.java.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from kazoo.client import KazooClient
from kazoo.recipe.lock import Lock, ReadLock, WriteLock

from zkdiscovery import AsyncClient, Client
from zkdiscovery.locks import Layout

LIMIT = 60.0  # seconds for one turn, on a busy machine
STAY = 0.0002  # seconds that a turn takes


class Turn(NamedTuple):
    """One turn.

    Attributes:
        kind: "read" or "write".
        begin: nanoseconds, after the lock was taken.
        end: nanoseconds, before it was released.
    """

    kind: str
    begin: int
    end: int


def kinds(kind: str, turns: int) -> Iterator[str]:
    """What each turn is: of a read-write lock, two in three are for reading."""
    return ("write" if kind == "mutex" or turn % 3 == 0 else "read" for turn in range(turns))


# -- ours --


def _side(client: Any, kind: str, path: str, turn: str, layout: Layout) -> Any:
    if kind == "mutex":
        return client.lock(path, layout=layout)
    lock = client.read_write_lock(path, layout=layout)
    return lock.read if turn == "read" else lock.write


def ours_on_threads(hosts: str, layout: Layout) -> Callable[[str, str, int], list[Turn]]:
    """The sync client."""
    client = Client(hosts, namespace="/").wait_connected(LIMIT)

    def take(path: str, kind: str, turns: int) -> list[Turn]:
        taken = []
        for turn in kinds(kind, turns):
            with _side(client, kind, path, turn, layout).hold(LIMIT):
                begin = time.monotonic_ns()
                time.sleep(STAY)
                taken.append(Turn(turn, begin, time.monotonic_ns()))
        return taken

    return take


def ours_on_a_loop(hosts: str, layout: Layout) -> Callable[[str, str, int], list[Turn]]:
    """The async client."""
    client = AsyncClient.of(Client(hosts, namespace="/").wait_connected(LIMIT))

    async def take(path: str, kind: str, turns: int) -> list[Turn]:
        taken = []
        for turn in kinds(kind, turns):
            async with _side(client, kind, path, turn, layout).hold(LIMIT):
                begin = time.monotonic_ns()
                await asyncio.sleep(STAY)
                taken.append(Turn(turn, begin, time.monotonic_ns()))
        return taken

    return lambda path, kind, turns: asyncio.run(take(path, kind, turns))


# -- kazoo --


class CuratorsLock(Lock):  # type: ignore[misc]
    """kazoo's lock with the names of Curator's."""

    _NODE_NAME = "-lock-"
    _EXCLUDE_NAMES: ClassVar = ["-lock-"]


class CuratorsWriteLock(WriteLock):  # type: ignore[misc]
    """kazoo's write lock with the names of Curator's."""

    _NODE_NAME = "__WRIT__"
    _EXCLUDE_NAMES: ClassVar = ["__WRIT__", "__READ__"]


class CuratorsReadLock(ReadLock):  # type: ignore[misc]
    """kazoo's read lock with the names of Curator's."""

    _NODE_NAME = "__READ__"
    _EXCLUDE_NAMES: ClassVar = ["__WRIT__"]


# For a mutex, a writer and a reader: the class, and the patterns that it waits for beside its own.
PLAIN = ((Lock, ()), (WriteLock, ()), (ReadLock, ()))
WITH_PATTERNS = ((Lock, ["-lock-"]), (WriteLock, ["__READ__", "__WRIT__"]), (ReadLock, ["__WRIT__"]))
RENAMED = ((CuratorsLock, ()), (CuratorsWriteLock, ()), (CuratorsReadLock, ()))


def kazoos(hosts: str, classes: Any) -> Callable[[str, str, int], list[Turn]]:
    """kazoo's client."""
    client = KazooClient(hosts)
    client.start(LIMIT)

    def take(path: str, kind: str, turns: int) -> list[Turn]:
        mutex, writer, reader = (make(client, path, extra_lock_patterns=patterns) for make, patterns in classes)
        taken = []
        for turn in kinds(kind, turns):
            lock = mutex if kind == "mutex" else reader if turn == "read" else writer
            assert lock.acquire(timeout=LIMIT)
            begin = time.monotonic_ns()
            time.sleep(STAY)
            taken.append(Turn(turn, begin, time.monotonic_ns()))
            lock.release()
        return taken

    return take


TAKERS: dict[str, Callable[[str], Callable[[str, str, int], list[Turn]]]] = {
    "threads": lambda hosts: ours_on_threads(hosts, "curator"),
    "asyncio": lambda hosts: ours_on_a_loop(hosts, "curator"),
    "threads, kazoo's layout": lambda hosts: ours_on_threads(hosts, "kazoo"),
    "asyncio, kazoo's layout": lambda hosts: ours_on_a_loop(hosts, "kazoo"),
    "kazoo": lambda hosts: kazoos(hosts, PLAIN),
    "kazoo with patterns": lambda hosts: kazoos(hosts, WITH_PATTERNS),
    "kazoo with Curator's names": lambda hosts: kazoos(hosts, RENAMED),
}


def main(who: str, hosts: str) -> None:
    """Take the turns that each line asks for."""
    take = TAKERS[who](hosts)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer: Any = take(command["path"], command["kind"], command["turns"])
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
