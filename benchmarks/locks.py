"""What does a lock cost, alone and among contenders, and is the order of arrival kept?

A turn takes the lock and releases it, and nothing in between. Contenders are threads with a lock of their own each, and
share ten connections. From a common start they take their turns as fast as they can: the time of all turns, divided by
their number. The server counts what it is asked for in a turn; several requests may travel together. For the order,
contenders arrive one after the other while somebody holds the lock: by how many places the order of service differs
from that of arrival, on the mean.

Beside the SDK: kazoo's `Lock` and Curator's `InterProcessMutex`. Neither has a lease: once it has seen that nobody is
ahead, it believes that it holds the lock until it is told otherwise. The floor is what a lock asks for at least, a
creation, a list and a deletion, over a bare socket, one after the other.

    python -m benchmarks.locks [--quick]
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

from benchmarks.common import LIMIT, Bench, main, rounds, timed
from benchmarks.figures import OURS, Figure, Row, milliseconds
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, curator
from benchmarks.peers.kazoo import kazoo
from benchmarks.processes import connections
from tests.support import Truth, core_of
from zkdiscovery.testing.wire import RawSession

CONTENDERS = (1, 10, 100)
CONNECTIONS = 10  # that contenders share, at most
GAP = 0.005  # seconds between two arrivals
FLOOR = "three bare requests"

Turn = Callable[[], AbstractContextManager[object]]  # one contender's lock, for one turn


class Way(Protocol):
    """One kind of lock.

    Attributes:
        session: of the connection of a contender that is alone.
    """

    session: int

    def contend(self, contenders: int, turns: int) -> float:
        """Seconds that each of all turns takes."""

    def line_up(self, contenders: int) -> float:
        """Places by which the order of service differs from that of arrival, on the mean."""


class Threads:
    """Contenders on threads of this process.

    Args:
        hosts: the server.
        path: where the nodes of the lock stand.
        session: see `Way`.
        make: makes the lock of one contender, by its number.
    """

    def __init__(self, hosts: str, path: str, session: int, make: Callable[[int], Turn]) -> None:
        self.session = session
        self._hosts, self._path, self._make = hosts, path, make

    def contend(self, contenders: int, turns: int) -> float:
        """Seconds that each of all turns takes."""
        ready = threading.Barrier(contenders + 1)

        def take(turn: Turn) -> None:
            ready.wait(LIMIT)
            for _ in range(turns // contenders):
                with turn():
                    pass

        with ThreadPoolExecutor(contenders) as pool:
            done = [pool.submit(take, self._make(number)) for number in range(contenders)]
            ready.wait(LIMIT)
            return timed(lambda: [each.result(LIMIT) for each in done]) / turns

    def line_up(self, contenders: int) -> float:
        """Places by which the order of service differs from that of arrival, on the mean."""
        served: list[int] = []

        def take(number: int, turn: Turn) -> None:
            with turn():
                served.append(number)

        with ThreadPoolExecutor(contenders) as pool, RawSession(self._hosts) as raw:
            with self._make(0)():
                done = []
                for number in range(contenders):
                    done.append(pool.submit(take, number, self._make(number)))
                    time.sleep(GAP)
                end = time.monotonic() + LIMIT
                while len(raw.children(self._path)) <= contenders:
                    if time.monotonic() > end:
                        raise TimeoutError(f"fewer than {contenders} wait at {self._path}")
                    time.sleep(GAP)
            for each in done:
                each.result(LIMIT)
        return sum(abs(place - number) for place, number in enumerate(served)) / contenders


class OfCurator:
    """Contenders in Curator's own process."""

    def __init__(self, java: Curator, path: str) -> None:
        self.session = java.session
        self._java, self._path = java, path

    def contend(self, contenders: int, turns: int) -> float:
        """Seconds that each of all turns takes."""
        return self._java.ask(f"contend {self._path} {CONNECTIONS} {contenders} {turns}", "seconds") / turns

    def line_up(self, contenders: int) -> float:
        """Places by which the order of service differs from that of arrival, on the mean."""
        return self._java.ask(f"line {self._path} {CONNECTIONS} {contenders} {round(GAP * 1e3)}", "places")


@contextlib.contextmanager
def ways(bench: Bench) -> Iterator[dict[str, Way]]:
    """All that are installed, connected."""
    namespace, hosts = bench.namespace(), bench.hosts
    with contextlib.ExitStack() as stack:
        ours = [stack.enter_context(bench.client(namespace)) for _ in range(CONNECTIONS)]
        theirs = [stack.enter_context(kazoo(hosts)) for _ in range(CONNECTIONS)]
        paths = {way: f"{namespace}/{way}" for way in ("ours", "kazoo", "curator")}

        def make_ours(number: int) -> Turn:
            return partial(ours[number % CONNECTIONS].lock(paths["ours"]).hold, LIMIT)

        def make_kazoo(number: int) -> Turn:
            lock = theirs[number % CONNECTIONS].Lock(paths["kazoo"])
            return lambda: lock

        found: dict[str, Way] = {
            OURS: Threads(hosts, paths["ours"], core_of(ours[0]).session.session_id, make_ours),
            "kazoo": Threads(hosts, paths["kazoo"], theirs[0].client_id[0], make_kazoo),
        }
        if java := stack.enter_context(curator(bench)):
            found["Curator"] = OfCurator(java, paths["curator"])
        yield found


def bare(hosts: str, parent: str, turns: int) -> float:
    """Seconds that three requests take."""
    with RawSession(hosts) as raw:  # a new one, because it pings nobody while others have their turn

        def ask() -> None:
            for _ in range(turns):
                raw.create(f"{parent}/lock", ephemeral=True)
                raw.children(parent)
                raw.delete(f"{parent}/lock")

        return timed(ask) / turns


def requests(bench: Bench, way: Way, turns: int) -> float:
    """Requests that the server receives for a turn of a contender that is alone."""

    def received() -> int:
        return next(each.received for each in connections(bench.hosts) if each.session == way.session)

    before = received()
    way.contend(1, turns)
    return (received() - before) / turns


def measure(bench: Bench) -> list[Row]:
    """Turns, requests, and the order of arrival."""
    count, turns = (2, 100) if bench.quick else (6, 100)
    rows = []
    with ways(bench) as found, Truth(bench.hosts) as truth:
        floor = bench.namespace()
        truth.create(floor)
        for contenders in CONTENDERS:
            bench.say(f"{turns} turns of {contenders} contenders, {count} times")
            each: dict[str, Callable[[], float]] = {
                way: partial(locks.contend, contenders, turns) for way, locks in found.items()
            }
            each[FLOOR] = partial(bare, bench.hosts, floor, turns)
            figures = milliseconds(rounds(each, count))
            rows.append(Row("a turn among N contenders", "ms", figures, ahead(figures), contenders))
        asked = {way: Figure.of([requests(bench, locks, turns)]) for way, locks in found.items()}
        rows.append(Row("requests of a turn, one contender", "requests", asked, ahead(asked)))
        most = CONTENDERS[-1]
        order = rounds({way: partial(locks.line_up, most) for way, locks in found.items()}, count)
        rows.append(Row(f"places out of the order of arrival, {most} contenders", "places", order, ahead(order)))
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
