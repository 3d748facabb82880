"""Taking locks: what a worker holds and waits for beside its elections, through the client of threads or of asyncio."""

from __future__ import annotations

import contextlib
from concurrent.futures import CancelledError
from contextlib import ExitStack
from random import Random
from typing import Any, NamedTuple

from tests.faults.chaos.carry import FIRST_LIMIT
from tests.faults.chaos.history import History, now
from tests.faults.chaos.holds import ALONE, ASKED, FORGOTTEN
from tests.faults.chaos.mood import Mood
from tests.faults.chaos.on_loop import Loop
from tests.faults.chaos.sampling import Sampler
from tests.faults.chaos.store import StoreClient
from zkdiscovery import AsyncClient, Client, ClientClosed, HoldLost, InvalidSettings, LockTimeout, ZkDiscoveryError
from zkdiscovery.locks import LEAVE_TIMEOUT, Kind
from zkdiscovery.znodes import BaseHold

MUTEX, READ_WRITE, SEMAPHORE = "mutex", "index", "gpu"
LOCKS = (f"locks/{MUTEX}", f"locks/{READ_WRITE}", f"semaphores/{SEMAPHORE}")  # what holds are of
QUEUES = (*LOCKS[:2], f"{LOCKS[2]}/locks", f"{LOCKS[2]}/leases")  # where their nodes stand
KINDS = {
    LOCKS[0]: {Kind.LOCK: 1.0},
    LOCKS[1]: {Kind.READ: 0.6, Kind.WRITE: 0.3, Kind.LOCK: 0.1},
    LOCKS[2]: {Kind.LEASE: 1.0},
}

PACE = 0.4  # seconds between two turns on the mean
WAITS = (None, None, 0.3, 2.0, 10.0)  # seconds; without a limit, a waiter that nobody wakes shows
LONG = 0.15  # share of the holds that last for seconds
LOOK = 0.05  # seconds between two looks of a holder


class Way(NamedTuple):
    """How one turn takes its lock.

    Attributes:
        kind: what for.
        limit: seconds to wait; None: without limit.
        trying: takes it only if it is free.
        in_block: holds it in a `with` block.
        give_up: seconds until the wait of a task that is in no block is cancelled; None: never.
    """

    kind: Kind
    limit: float | None
    trying: bool
    in_block: bool
    give_up: float | None


class Locker:
    """Takes one lock again and again, on a thread of its own.

    Attributes:
        of: what its holds are of.
        waiting: it waits for the lock.
    """

    def __init__(
        self,
        client: Client,
        of: str,
        who: str,
        store: int,
        history: History,
        sampler: Sampler,
        mood: Mood,
        rng: Random,
        loop: Loop | None,
    ) -> None:
        self.of = of
        self.waiting = False
        self._client, self._loop = client, loop
        self._history, self._sampler, self._mood, self._rng = history, sampler, mood, rng
        self._store = StoreClient(store, who)
        self._number = 0
        self._first = True  # it may be the one that stores the limit

    def run(self) -> None:
        """Take turns until the process ends."""
        with contextlib.suppress(ClientClosed):
            while True:
                self._mood.pause(self._rng.expovariate(1 / PACE))
                if not self._mood.begin_act():
                    return
                try:
                    self._turn(self._choose())
                finally:
                    self._mood.end_act()

    def _choose(self) -> Way:
        kinds, rng = KINDS[self.of], self._rng
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        trying = rng.random() < 0.15
        in_block = not trying and rng.random() < 0.5
        give_up = rng.uniform(0.0, 1.5) if rng.random() < 0.3 else None
        return Way(kind, rng.choice(WAITS), trying, in_block, give_up)

    def _turn(self, way: Way) -> None:
        lock = self._lock(self._client if self._loop is None else AsyncClient.of(self._client), way.kind)
        limit = 2.0 if way.trying and way.limit is None else way.limit
        asked, result, hold = now(), "ok", None
        with contextlib.suppress(HoldLost), ExitStack() as leaving:
            self.waiting = True
            try:
                hold = self._take(lock, way, limit, leaving)
            except (LockTimeout, CancelledError) as error:
                result = type(error).__name__
            except InvalidSettings as error:
                result = self._note_limit(error)
            finally:
                self.waiting = False
            if limit is not None:
                took = {"begin": asked, "end": now(), "limit": limit + LEAVE_TIMEOUT}
                self._history.write("call", name=way.kind, **took, result=result)
            if hold is not None:
                self._keep(hold, way.kind, asked)

    def _lock(self, client: Client | AsyncClient, kind: Kind) -> Any:
        layout: Any = self._rng.choice(["curator", "kazoo"])
        name = self.of.rpartition("/")[2]
        if kind is Kind.LEASE:
            return client.semaphore(name, FIRST_LIMIT if self._first else None)
        if kind is Kind.LOCK:
            return client.lock(name, layout=layout)
        both = client.read_write_lock(name, layout=layout)
        return both.read if kind is Kind.READ else both.write

    def _take(self, lock: Any, way: Way, limit: float | None, leaving: ExitStack) -> BaseHold | None:
        """Take the lock; `leaving` releases it."""
        hold: BaseHold | None
        if way.in_block and self._loop is not None:
            hold = self._loop.hold(lock, limit, leaving)
        elif way.in_block:
            hold = leaving.enter_context(lock.hold(limit))
        else:
            take = lock.try_acquire if way.trying else lock.acquire
            hold = take(limit) if self._loop is None else self._loop.run(take(limit), way.give_up)
            if hold is not None:
                leaving.callback(hold.release)
        return hold

    def _note_limit(self, error: InvalidSettings) -> str:
        """Note what the semaphore says of its limit: there is another one, or none although one was stored."""
        if "has no limit" not in str(error):
            self._first = False
            return "another limit"
        self._history.write("limit", of=self.of, begin=now(), end=now(), number=0, result=FORGOTTEN)
        self._first = True
        return FORGOTTEN

    def _keep(self, hold: BaseHold, kind: Kind, asked: float) -> None:
        """Act as the holder for a while."""
        if not self._sampler.add(hold, kind, self.of, asked):
            return
        rng = self._rng
        end = now() + (rng.uniform(1.0, 6.0) if rng.random() < LONG else rng.uniform(0.0, 0.3))
        while True:
            checked = now()
            if hold.lost:
                return
            if kind in ALONE:
                self._number += 1
                self._store.write(self.of, hold.fence, self._number, checked)
            if self._mood.over or self._mood.quiet or now() >= end:
                break
            self._mood.pause(min(LOOK, max(0.0, end - now())))
        self._sampler.look(hold)  # up to the last moment


def set_limit(client: Client, number: int, history: History) -> None:
    """Change the limit of the semaphore for all, whoever holds it."""
    begin = now()
    change = {"of": LOCKS[2], "begin": begin, "number": number}
    history.write("limit", **change, end=begin, result=ASKED)
    try:
        client.semaphore(SEMAPHORE).set_limit(number, 3.0)
    except ZkDiscoveryError as error:
        result = type(error).__name__
    else:
        result = "ok"
    history.write("limit", **change, end=now(), result=result)
