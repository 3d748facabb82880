"""What can one server carry: what do a write, an event, a read, a ping and an instance take of it?

The consumers are bare sockets that do on the wire what a client of ours does: a recursive watch, and a read of what is
new. CPU is that of the server's process. From these terms a sum is made (`Costs`), and held against what an addition
takes with up to 2,000 consumers, each of which hears of it and reads it.

    python -m benchmarks.carry [--quick]
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import psutil

from benchmarks.common import LIMIT, SESSION_TIMEOUT, Bench, main, rounds
from benchmarks.figures import OURS, Figure, Row
from benchmarks.processes import cpu_seconds, server_process
from benchmarks.published import Published, published
from zkdiscovery.errors import NoServerForTests
from zkdiscovery.session.requests import MultiRead, SetWatches
from zkdiscovery.testing import zookeeper_server
from zkdiscovery.testing.wire import RawSession

PING, PING_XID = 11, -2
EVENT_XID = -1
CROWD = 200  # sessions whose terms are measured
LOG = 500  # transactions, ZooKeeper's `commitLogCount`
WRITE, EVENT, READ, PINGED = "a write", "an event delivered", "a node read", "a ping"
INSTANCE = "an instance held"
TOGETHER, TRANSACTIONS, BULK = "all at once", "in transactions of 500", "500 in one request"
ADDITION = "server's CPU for one addition that N consumers read"


class Costs(NamedTuple):
    """CPU seconds of a server, each: a write of a node, an event to one session, a read of one node, a ping."""

    write: float
    event: float
    read: float
    ping: float

    @classmethod
    def of(cls, rows: Sequence[Row], way: str) -> Costs:
        """From the answer of this question; `OURS` is one at a time, the most that is taken, `TOGETHER` the least."""
        figures = {row.what: row.figures for row in rows}
        return cls(*(figures[what][way].median / 1e6 for what in (WRITE, EVENT, READ, PINGED)))

    def change(self, consumers: int, reads: float = 1.0) -> float:
        """CPU seconds for one change, which comes alone: all consumers hear of it, and that share of them reads."""
        return self.write + consumers * (self.event + reads * self.read)

    def load(self, changes: float, consumers: int, sessions: int, *, reads: float = 0.5) -> float:
        """CPU seconds a second: so many changes a second, half of them departures that nobody reads; and the pings."""
        return changes * self.change(consumers, reads) + sessions * 3 / SESSION_TIMEOUT * self.ping


class Crowd:
    """So many sessions, all of which do the same."""

    def __init__(self, hosts: str, count: int) -> None:
        self.sessions: list[RawSession] = []
        try:
            for _ in range(count):
                self.sessions.append(RawSession(hosts, session_timeout=SESSION_TIMEOUT, timeout=LIMIT))
        except BaseException:
            self.close()
            raise

    def watch(self, path: str) -> None:
        """A persistent recursive watch for each."""
        self.ask(SetWatches.type, SetWatches([path]).serialize())

    def read(self, *paths: str, together: bool = True) -> None:
        """All these nodes, by each, in one request."""
        self.ask(MultiRead.type, MultiRead(paths).serialize(), together=together)

    def ping(self, *, together: bool = True) -> None:
        """What a session sends that has nothing else to send."""
        self.ask(PING, xid=PING_XID, together=together)

    def ask(self, kind: int, body: bytes = b"", xid: int = 1, *, together: bool = True) -> None:
        """A request of each: all of them, and then the answers; or one after another."""
        for session in self.sessions:
            session._send(struct.pack(">ii", xid, kind) + body)
            if not together:
                hear(session, xid)
        if together:
            self.hear(xid)

    def hear(self, xid: int = EVENT_XID) -> None:
        """Until each has received it."""
        for session in self.sessions:
            hear(session, xid)

    def close(self) -> None:
        """End all sessions."""
        for session in self.sessions:
            session.__exit__(None, None, None)


def hear(session: RawSession, xid: int) -> None:
    """Until it has received the answer with this number, or an event."""
    deadline = time.monotonic() + LIMIT
    while struct.unpack_from(">i", session._receive(deadline))[0] != xid:
        pass


@contextlib.contextmanager
def crowd(bench: Bench, count: int, path: str | None = None) -> Iterator[Crowd]:
    """So many sessions, with a watch on the path if one is given."""
    with contextlib.closing(Crowd(bench.hosts, count)) as sessions:
        if path:
            sessions.watch(path)
        yield sessions


def micros(server: psutil.Process, work: Callable[[], object], count: float) -> float:
    """Microseconds of the server's CPU for one of so many that `work` does."""
    before = cpu_seconds(server.pid)
    work()
    return (cpu_seconds(server.pid) - before) / count * 1e6


def repeat(times: int, *steps: Callable[[], object]) -> None:
    """All steps one after another, so many times."""
    for _ in range(times):
        for step in steps:
            step()


def come_and_go(instances: Published, indices: Sequence[int], heard: Callable[[], object] = lambda: None) -> None:
    """One after another: each comes and goes, and each of these changes is awaited."""
    for index in indices:
        instances.add(index)
        heard()
        instances.remove(index)
        heard()


def come_and_go_singly(
    instances: Published, indices: Sequence[int], heard: Callable[[], object] = lambda: None
) -> None:
    """All at once, in a write each; each of the changes is awaited."""
    instances.add_singly(*indices)
    instances.remove_singly(*indices)
    repeat(2 * len(indices), heard)


def come_and_go_together(instances: Published, indices: Sequence[int]) -> None:
    """All at once, in transactions."""
    instances.add(*indices)
    instances.remove(*indices)


def addition(bench: Bench, server: psutil.Process, instances: Published, index: int, people: int) -> float:
    """Milliseconds for one addition, which so many hear of and read."""
    times = max(3, 1_000 // people)
    taken = 0.0
    with crowd(bench, people, instances.path) as sessions:

        def added() -> None:
            instances.add(index)
            sessions.hear()
            sessions.read(instances.node(index))

        for turn in range(times + 1):
            spent = micros(server, added, 1e3)
            taken += spent if turn else 0.0  # the first one warms up
            instances.remove(index)
            sessions.hear()
    return taken / times


def changes(bench: Bench, server: psutil.Process, quiet: Published, watched: Published, size: int) -> list[Row]:
    """What each takes, and an addition with all that belongs to it; all by turns.

    Args:
        server: whose CPU it is.
        quiet: a service that nobody watches.
        watched: another one, which is watched.
        size: so many instances each of them has; further ones come and go.
    """
    part, count = (4, 2) if bench.quick else (1, 4)
    crowds = (50, 200) if bench.quick else (100, 400, 1_600)
    some, many = range(size, size + 300 // part), range(size, size + 2_000 // part)
    nodes = [quiet.node(index) for index in range(size)]
    with crowd(bench, CROWD) as sessions, crowd(bench, CROWD, watched.path) as watchers, crowd(bench, 10) as few:
        times = 20 // part
        each = times * CROWD
        works: dict[tuple[str, str], tuple[Callable[[], object], float]] = {
            (WRITE, OURS): (lambda: come_and_go(quiet, some), 2 * len(some)),
            (WRITE, TOGETHER): (lambda: come_and_go_singly(quiet, many), 2 * len(many)),
            (WRITE, TRANSACTIONS): (lambda: come_and_go_together(quiet, many), 2 * len(many)),
            (READ, OURS): (lambda: repeat(times, lambda: sessions.read(nodes[0], together=False)), each),
            (READ, TOGETHER): (lambda: repeat(times, lambda: sessions.read(nodes[0])), each),
            (READ, BULK): (lambda: repeat(times, lambda: few.read(*nodes)), times * len(few.sessions) * size),
            (PINGED, OURS): (lambda: repeat(times, lambda: sessions.ping(together=False)), each),
            (PINGED, TOGETHER): (lambda: repeat(times, sessions.ping), each),
            (EVENT, OURS): (lambda: come_and_go(watched, some[:times], watchers.hear), 2 * each),
            (EVENT, TOGETHER): (lambda: come_and_go_singly(watched, some[:times], watchers.hear), 2 * each),
        }
        measures: dict[tuple[str, str], Callable[[], float]] = {
            **{key: partial(micros, server, *work) for key, work in works.items()},
            **{(ADDITION, str(people)): partial(addition, bench, server, quiet, size, people) for people in crowds},
        }

        def alive(measure: Callable[[], float]) -> float:
            for people in (sessions, watchers, few):
                people.ping()  # they are silent while others have their turns
            return measure()

        taken = rounds({key: partial(alive, measure) for key, measure in measures.items()}, count)
    for way in (OURS, TOGETHER):
        written = taken[WRITE, way].median / CROWD
        taken[EVENT, way] = Figure(*(value - written for value in taken[EVENT, way]))
    rows = [
        Row(what, "µs", {way: taken[key] for key in works if (way := key[1]) and key[0] == what})
        for what in (WRITE, EVENT, READ, PINGED)
    ]
    low, high = Costs.of(rows, TOGETHER), Costs.of(rows, OURS)
    for people in crowds:
        least, most = (Figure.of([costs.change(people) * 1e3]) for costs in (low, high))
        figures = {OURS: taken[ADDITION, str(people)], "model, at least": least, "model, at most": most}
        rows.append(Row(ADDITION, "ms", figures, size=people))
    return rows


def heap(server: psutil.Process) -> int:
    """Bytes of all that lives on the server's heap; it collects its garbage first."""
    command = ["jcmd", str(server.pid), "GC.class_histogram"]
    total = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("Total")[-1]
    return int(total.split()[1])


def memory(bench: Bench, size: int) -> list[Row]:
    """What a server keeps for an instance; one of its own, on which nothing else begins or ends meanwhile."""
    if shutil.which("jcmd") is None:
        bench.say("left out: the server's heap, for no JDK is installed")
        return []
    try:
        with zookeeper_server(source="local") as server:
            alone = bench.on(server)
            process = server_process(alone.hosts)
            assert process is not None
            with published(alone, alone.namespace(), 0) as instances:
                return [Row(INSTANCE, "bytes of heap", {OURS: Figure.of([held(process, instances, size)])})]
    except NoServerForTests as error:
        bench.say(f"left out: the server's heap, for no server can be started here: {error}")
        return []


def held(server: psutil.Process, instances: Published, size: int) -> float:
    """Bytes of heap for each of so many."""

    def lives() -> int:
        # ZooKeeper keeps the last 500 transactions in memory: small ones take the place of those that filled.
        instances.add_singly(*range(LOG))
        instances.remove_singly(*range(LOG))
        return heap(server)

    before = lives()
    instances.add(*range(LOG, LOG + size))
    return (lives() - before) / size


def measure(bench: Bench) -> list[Row]:
    """The terms, then their sum, then the memory."""
    server, size = server_process(bench.hosts), 500
    if server is None:
        bench.say("left out: the server is not a process of this machine")
        return []
    namespace = bench.namespace()
    with published(bench, namespace, size, "quiet") as quiet, published(bench, namespace, size, "watched") as watched:
        rows = changes(bench, server, quiet, watched, size)
    return rows + memory(bench, 2_000 if bench.quick else 20_000)


if __name__ == "__main__":
    main(measure, __doc__)
