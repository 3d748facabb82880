"""Many waiters of one lock on ten clients: a release wakes one of them, which reads twice at most. Counted on the wire.

`WAITERS=1000` in the environment has a thousand of them.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.integration.aio.loops import until
from tests.integration.election.helpers import settle
from tests.integration.locks.conftest import MakeAsync, Queue
from tests.support import LIMIT
from zkdiscovery import AsyncClient, AsyncHold
from zkdiscovery.locks.names import in_order
from zkdiscovery.session import EventKind
from zkdiscovery.session.requests import Echo
from zkdiscovery.testing import FaultProxy, ZookeeperServer
from zkdiscovery.testing.proxy.frames import KINDS

NAME = "invoice"
WAITERS = int(os.environ.get("WAITERS", "100"))
CLIENTS = 10
ENOUGH = LIMIT + WAITERS / 5  # seconds for all of them

READS = frozenset().union(*(KINDS[kind] for kind in ("exists", "get_data", "get_children", "multi_read")))
ECHO = Echo().serialize()  # which leases ask for, because the server answers it by itself
EVENT = -1  # the number of a message that answers no request


class Wire:
    """One connection of one client, as a proxy sees it.

    Attributes:
        reads: requests that read something.
        deleted: names of the nodes of whose deletion it was told, and how often.
    """

    def __init__(self, proxy: FaultProxy) -> None:
        self.reads = 0
        self.deleted: Counter[str] = Counter()
        proxy.alter("client_to_server", _by_message(self._note_request))
        proxy.alter("server_to_client", _by_message(self._note_answer))

    def _note_request(self, message: bytes) -> None:
        _, kind = struct.unpack_from(">ii", message)
        self.reads += kind in READS and message[8:] != ECHO

    def _note_answer(self, message: bytes) -> None:
        (number,) = struct.unpack_from(">i", message)
        if number == EVENT:
            kind, _, length = struct.unpack_from(">iii", message, 16)
            if kind == EventKind.DELETED:
                self.deleted[message[28 : 28 + length].decode().rpartition("/")[2]] += 1


def all_reads(wires: list[Wire]) -> int:
    return sum(wire.reads for wire in wires)


def _by_message(note: Callable[[bytes], None]) -> Callable[[bytes], bytes]:
    """Pass on what comes, and note each message but the handshake."""
    rest = bytearray()
    greeted = False

    def take(chunk: bytes) -> bytes:
        nonlocal greeted
        rest.extend(chunk)
        while len(rest) >= 4 and len(rest) >= (end := 4 + int.from_bytes(rest[:4])):
            if greeted:
                note(bytes(rest[4:end]))
            greeted = True
            del rest[:end]
        return chunk

    return take


@pytest.mark.timeout(2 * ENOUGH)
def test_a_release_wakes_one_of_many(make_async: MakeAsync, queue: Queue, zkdiscovery_server: ZookeeperServer) -> None:
    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultProxy(zkdiscovery_server.hosts)) for _ in range(CLIENTS)]
        wires = [Wire(proxy) for proxy in proxies]
        clients = [make_async(proxy.address).sync.wait_connected(LIMIT) for proxy in proxies]
        asyncio.run(asyncio.wait_for(_take_turns(list(map(AsyncClient.of, clients)), wires, queue), ENOUGH))
        for client in clients:
            client.close(LIMIT)


async def _take_turns(clients: list[AsyncClient], wires: list[Wire], queue: Queue) -> None:
    held: asyncio.Queue[tuple[int, AsyncHold]] = asyncio.Queue()

    async def take(client: int) -> None:
        held.put_nowait((client, await clients[client].lock(NAME).acquire(None)))

    await take(0)
    client, hold = held.get_nowait()
    owners, fences, reads = [client], [hold.fence], []
    async with asyncio.TaskGroup() as tasks:
        for number in range(WAITERS):
            tasks.create_task(take(number % CLIENTS))
        seen = 0
        while seen <= 2 * WAITERS or seen != all_reads(wires):  # each lists, and looks at who is ahead
            seen = all_reads(wires)
            await asyncio.sleep(0.5)
        for waiting in clients:
            settle(waiting.sync)
        names = in_order(queue())
        for _ in range(WAITERS):
            before = all_reads(wires)
            hold.release()
            client, hold = await held.get()
            reads.append(all_reads(wires) - before)
            owners.append(client)
            fences.append(hold.fence)
    hold.release()
    await until(lambda: queue() == [])
    assert fences == sorted(fences)
    assert max(reads) <= 2, Counter(reads)
    for name, owner, follower in zip(names, owners, owners[1:], strict=False):
        told = {client for client, wire in enumerate(wires) if wire.deleted[name]}
        assert follower in told
        assert told <= {owner, follower}, "nobody else is told of a release"
