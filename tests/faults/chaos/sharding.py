"""Consuming shards: each worker is a member of one set, through the client of threads or of asyncio.

Threads: one runs the member, one lets it leave now and then. Each shard is consumed on a thread of its own, or in a
task on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from random import Random

from tests.faults.chaos.history import History, now
from tests.faults.chaos.holds import SHARD
from tests.faults.chaos.mood import Mood
from tests.faults.chaos.on_loop import Loop
from tests.faults.chaos.sampling import Sampler
from tests.faults.chaos.store import StoreClient
from zkdiscovery import AsyncClient, AsyncShard, AsyncShards, Client, ClientClosed, Shard, Shards
from zkdiscovery.shards import LEAVE_TIMEOUT
from zkdiscovery.znodes import BaseHold

NAME, COUNT = "parts", 12
SHARDS = tuple(f"shards/{NAME}/locks/{number}" for number in range(COUNT))  # what holds are of: the queue of each shard
MEMBERS, ASSIGNER = f"shards/{NAME}/members", f"shards/{NAME}/assigner"  # where each member has one node
SHARD_NODES = (*SHARDS, MEMBERS, ASSIGNER)

WORK = 0.3  # seconds between two writes of an owner
LINGER = 0.3  # seconds that a consumer goes on at most after it was told to end
RETURNS = 0.02  # share of its looks after which a consumer returns, though it need not
STAY = 30.0  # seconds on the mean until a member leaves and comes back


class Sharer:
    """Takes part in the shards, and writes as the owner of each that it holds.

    A consumer that must end writes once more, if it still holds the shard: the next owner must not have begun by then.
    """

    def __init__(
        self,
        client: Client,
        who: str,
        store: int,
        history: History,
        sampler: Sampler,
        mood: Mood,
        rng: Random,
        loop: Loop | None,
    ) -> None:
        self._client, self._loop = client, loop
        self._history, self._sampler, self._mood, self._rng = history, sampler, mood, rng
        self._writing = threading.Lock()  # guards the store
        self._store = StoreClient(store, who)
        self._number = 0
        self._holds: dict[str, BaseHold] = {}  # the newest one of each shard
        self._busy: set[str] = set()  # shards that are consumed
        self._member: Shards | AsyncShards | None = None
        self._left: Shards | AsyncShards | None = None  # what was closed by us

    def run(self) -> None:
        """Be a member until the process ends."""
        with contextlib.suppress(ClientClosed):
            while not self._mood.over:
                self._take_part()
                if self._left is not self._member and not self._mood.over:
                    self._history.write("defect", error="run() of shards returned, and nobody has closed them")
                    return

    def leave(self) -> None:
        """Let the member leave now and then; another one follows at once."""
        while True:
            self._mood.pause(self._rng.expovariate(1 / STAY))
            if not self._mood.begin_act():
                return
            began, self._left = now(), self._member
            try:
                if isinstance(self._left, Shards):
                    self._left.close(LEAVE_TIMEOUT)
                elif self._left is not None and self._loop is not None:
                    self._loop.run(self._left.aclose(LEAVE_TIMEOUT), None)
            finally:
                self._mood.end_act()
            took = {"begin": began, "end": now(), "limit": LEAVE_TIMEOUT}
            self._history.write("call", name="shards.close", **took, result="ok")

    def fences(self) -> dict[str, int]:
        """Those of the shards that are held."""
        return {of: hold.fence for of, hold in self._holds.copy().items() if not hold.lost}

    def _take_part(self) -> None:
        if self._loop is None:
            shards = self._member = self._client.shards(NAME, COUNT)
            shards.run(self._consume)
        else:
            on_loop = self._member = AsyncClient.of(self._client).shards(NAME, COUNT)
            self._loop.run(on_loop.run(self._consume_on_loop), None)

    def _consume(self, shard: Shard) -> None:
        if not self._begin(shard):
            return
        while not shard.wait_lost(WORK) and self._rng.random() >= RETURNS:
            self._work(shard)
        self._mood.pause(self._rng.uniform(0.0, LINGER))
        self._end(shard)

    async def _consume_on_loop(self, shard: AsyncShard) -> None:
        if not self._begin(shard):
            return
        try:
            while self._rng.random() >= RETURNS:  # or until it is cancelled
                await asyncio.sleep(WORK)
                self._work(shard)  # it blocks the loop, so that no write is under way when the task is cancelled
        finally:
            try:
                await asyncio.sleep(self._rng.uniform(0.0, LINGER))
            finally:
                self._end(shard)

    def _begin(self, shard: Shard | AsyncShard) -> bool:
        of = SHARDS[shard.number]
        if of in self._busy:
            self._history.write("defect", error=f"{of} is consumed twice at a time")
        if self._holds.get(of) is not shard.hold:  # else it is called again
            if not self._sampler.add(shard.hold, SHARD, of, now()):
                return False
            self._holds[of] = shard.hold
        self._busy.add(of)
        self._work(shard)
        return True

    def _work(self, shard: Shard | AsyncShard) -> None:
        with self._writing:
            checked = now()
            if not shard.hold.lost:
                self._number += 1
                self._store.write(SHARDS[shard.number], shard.hold.fence, self._number, checked)

    def _end(self, shard: Shard | AsyncShard) -> None:
        self._work(shard)
        self._sampler.look(shard.hold)  # up to the last moment
        self._busy.discard(SHARDS[shard.number])
