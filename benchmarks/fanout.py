"""What does one change cost where 200 consumers follow the service?

Each consumer is a client with a connection of its own; a hundred of them share a process. A change is one instance
that is added, or taken out. The consumer by hand has kazoo's `ChildrenWatch` and gets what is new, and only that. Time
is that until the last consumer knows; CPU is that of the server's process, and of all consumers together. Each figure
is the mean of a batch of changes, half of them additions.

    python -m benchmarks.fanout [--quick]
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, OURS, SESSION_TIMEOUT, Bench, Figure, Published, Row, Target, main, published
from benchmarks.processes import Process, received, server_process
from zkdiscovery import Change, Client

CONSUMERS, PROCESSES = 200, 2
MODULE = "benchmarks.fanout"


class Crowd:
    """The consumers of one process, and what each knows: the number of instances."""

    def __init__(self, count: int) -> None:
        self._changed = threading.Condition()
        self._known = [-1] * count

    def note(self, place: int, size: int) -> None:
        """One consumer knows so many."""
        with self._changed:
            self._known[place] = size
            self._changed.notify_all()

    def wait(self, size: int) -> None:
        """Until all know so many."""
        with self._changed:
            if not self._changed.wait_for(lambda: all(known == size for known in self._known), LIMIT):
                raise TimeoutError(f"not all consumers know of {size} instances")


def ours(crowd: Crowd, place: int, hosts: str, namespace: str, service: str) -> object:
    """A view with a callback."""
    client = Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT)
    view = client.discover(service)

    def changed(change: Change) -> None:
        crowd.note(place, len(change.after.instances))

    return client, view, view.on_change(changed)


def kazoo(crowd: Crowd, place: int, hosts: str, namespace: str, service: str) -> object:
    """A ChildrenWatch, and a get for each new name; not for those that are there at first, which would take minutes."""
    client = KazooClient(hosts, timeout=SESSION_TIMEOUT)
    client.start()
    path = f"{namespace}/services/{service}"
    known: set[str] = set()

    def changed(children: list[str]) -> None:
        for name in set(children) - known if known else ():
            client.get(f"{path}/{name}")
        known.clear()
        known.update(children)
        crowd.note(place, len(children))

    client.ChildrenWatch(path, changed)
    return client


KINDS: dict[str, Callable[..., object]] = {OURS: ours, "kazoo": kazoo}


def consume(way: str, count: int, hosts: str, namespace: str, service: str, size: int) -> None:
    """The process of some consumers: told a number, it answers its CPU seconds once all know of so many instances."""
    crowd = Crowd(count)
    consumers = [KINDS[way](crowd, place, hosts, namespace, service) for place in range(count)]
    crowd.wait(size)
    print("ready", flush=True)
    for line in sys.stdin:
        crowd.wait(int(line))
        print(time.process_time(), flush=True)
    del consumers


def batch(bench: Bench, service: Published, processes: list[Process], size: int, changes: int) -> tuple[float, ...]:
    """For each of some changes: ms until all know, ms of the server's CPU, ms of the consumers', requests."""
    server = server_process(bench.hosts)

    def consumed(expected: int) -> float:
        for process in processes:
            process.tell(expected)
        return sum(float(process.answer()[0]) for process in processes)

    def served() -> float:
        return sum(server.cpu_times()[:2]) if server else 0.0

    before = consumed(size), served(), received(bench.hosts)
    start = time.perf_counter()
    for change in range(changes):
        if change % 2:
            service.remove(size)
        else:
            service.add(size)
        consumed(size + 1 - change % 2)
    seconds = time.perf_counter() - start
    after = consumed(size), served(), received(bench.hosts)
    cpu, server_cpu, packets = (late - early for late, early in zip(after, before, strict=True))
    return seconds / changes * 1e3, server_cpu / changes * 1e3, cpu / changes * 1e3, packets / changes


SUBJECTS = (
    ("one change until the last of {} knows", "ms"),
    ("server's CPU for one change and {} consumers", "ms"),
    ("consumers' CPU for one change, all {}", "ms"),
    ("requests for one change and {} consumers, pings included", "requests"),
)


def measure(bench: Bench) -> list[Row]:
    """A hundred, a thousand instances."""
    rows: list[Row] = []
    consumers, count, changes = (40, 2, 4) if bench.quick else (CONSUMERS, 8, 10)
    for size in (100, 1_000):
        namespace = bench.namespace()
        values: dict[str, list[tuple[float, ...]]] = {way: [] for way in KINDS}
        with contextlib.ExitStack() as stack:
            work: dict[str, Callable[[], tuple[float, ...]]] = {}
            for way in KINDS:
                service = stack.enter_context(published(bench, namespace, size, way))
                processes = []
                for _ in range(PROCESSES):
                    started = Process(MODULE, "consume", way, consumers // PROCESSES, bench.hosts, namespace, way, size)
                    stack.callback(started.close)
                    processes.append(started)
                work[way] = partial(batch, bench, service, processes, size, changes)
            for turn in range(count):
                for way in list(work)[:: 1 if turn % 2 else -1]:
                    values[way].append(work[way]())
        rows += [
            Row(
                subject.format(consumers), unit,
                {way: Figure.of([each[place] for each in batches]) for way, batches in values.items()},
                [Target(1, "kazoo")], size,
            )
            for place, (subject, unit) in enumerate(SUBJECTS)
        ]  # fmt: skip
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["consume"]:
        way, count, hosts, namespace, service, size = sys.argv[2:]
        consume(way, int(count), hosts, namespace, service, int(size))
    else:
        main(measure, __doc__)
