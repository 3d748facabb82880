"""What does one change cost where 200 consumers follow the service?

Each consumer is a client with a connection of its own; a hundred of them share a process. A change is one instance that
is added, or taken out. The consumer by hand has kazoo's `ChildrenWatch`, and gets and parses what is new, and only
that; Curator's is a ServiceCache. The floor is the least that any client in Python does: bare sockets on one thread,
with a watch, that read what is new and decode nothing. tooz is left out: it has no watches, and learns of a change when
it asks. Time is that until the last consumer knows; CPU is that of the server's process, and of all consumers together.
Each figure is the mean of a batch of changes, half of them additions.

    python -m benchmarks.fanout [--quick]
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, SESSION_TIMEOUT, Bench, main, samples
from benchmarks.figures import OURS, Figure, Row
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, for_curator, has_curator
from benchmarks.peers.raw import RawWatch, run
from benchmarks.processes import Process, cpu_seconds, received_from, server_process
from benchmarks.published import Encode, Published, encode_instance, published
from zkdiscovery import Change, Client

CONSUMERS, PROCESSES = 200, 2
MODULE = "benchmarks.fanout"
FLOOR = "raw watch"


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
            json.loads(client.get(f"{path}/{name}")[0])
        known.clear()
        known.update(children)
        crowd.note(place, len(children))

    client.ChildrenWatch(path, changed)
    return client


def raw(crowd: Crowd, count: int, hosts: str, namespace: str, service: str) -> None:
    """All consumers of the process, on one thread."""
    sizes = [0] * count

    def grown(place: int, by: int) -> None:
        sizes[place] += by
        crowd.note(place, sizes[place])

    watches = [
        RawWatch(
            hosts,
            f"{namespace}/services/{service}",
            lambda paths, _, place=place: grown(place, len(paths)),  # type: ignore[misc]
            lambda _, place=place: grown(place, -1),  # type: ignore[misc]
        )
        for place in range(count)
    ]
    for place, watch in enumerate(watches):
        grown(place, len(watch.names))
    threading.Thread(target=run, args=(watches,), daemon=True).start()


KINDS: dict[str, Callable[..., object]] = {OURS: ours, "kazoo": kazoo}


def consume(way: str, count: int, hosts: str, namespace: str, service: str, size: int) -> None:
    """The process of some consumers: told a number, it answers once all know of so many instances."""
    crowd = Crowd(count)
    if way == FLOOR:
        raw(crowd, count, hosts, namespace, service)
    consumers = [KINDS[way](crowd, place, hosts, namespace, service) for place in range(count) if way in KINDS]
    crowd.wait(size)
    print("ready", flush=True)
    for line in sys.stdin:
        crowd.wait(int(line))
        print("known", flush=True)
    del consumers


class Consumers(NamedTuple):
    """Those of one process."""

    pid: int
    tell: Callable[[int], object]  # that all are to know of so many instances
    hear: Callable[[], object]  # waits until they do
    close: Callable[[], object]

    @classmethod
    def of(cls, way: str, count: int, hosts: str, namespace: str, service: str, size: int) -> Consumers:
        """Started, all of them knowing of `size` instances."""
        if way != "Curator":
            process = Process(MODULE, "consume", way, count, hosts, namespace, service, size)
            return cls(process.pid, process.tell, process.answer, process.close)
        java = Curator(hosts)
        try:
            java.ask(f"crowd {namespace}/services {size} {service} {count}", "seconds")
        except BaseException:
            java.kill()
            raise
        return cls(java.pid, lambda known: java.tell(f"know {known} - 0"), lambda: java.hear("known"), java.kill)


def batch(bench: Bench, service: Published, processes: list[Consumers], size: int, changes: int) -> tuple[float, ...]:
    """For each of some changes: ms until all know, ms of the server's CPU, ms of the consumers', requests."""
    server, pids = server_process(bench.hosts), [each.pid for each in processes]

    def wait(known: int) -> None:
        for each in processes:
            each.tell(known)
        for each in processes:
            each.hear()

    def spent() -> tuple[float, ...]:
        served = cpu_seconds(server.pid) if server else 0.0
        return served, sum(map(cpu_seconds, pids)), received_from(bench.hosts, *pids)

    wait(size)
    before, start = spent(), time.perf_counter()
    for change in range(changes):
        if change % 2:
            service.remove(size)
        else:
            service.add(size)
        wait(size + 1 - change % 2)
    seconds, after = time.perf_counter() - start, spent()
    served, cpu, requests = (late - early for late, early in zip(after, before, strict=True))
    return seconds / changes * 1e3, served / changes * 1e3, cpu / changes * 1e3, requests / changes


SUBJECTS = (
    ("one change until the last of {} knows", "ms"),
    ("server's CPU for one change and {} consumers", "ms"),
    ("consumers' CPU for one change, all {}", "ms"),
    ("requests for one change and {} consumers, pings included", "requests"),
)


def measure(bench: Bench) -> list[Row]:
    """A hundred, a thousand instances."""
    rows: list[Row] = []
    consumers, count, changes = (40, 1, 4) if bench.quick else (CONSUMERS, 4, 8)
    ways: dict[str, Encode] = {OURS: encode_instance, "kazoo": encode_instance, FLOOR: encode_instance}
    if has_curator(bench):
        ways["Curator"] = for_curator
    for size in (100,) if bench.quick else (100, 1_000):
        namespace = bench.namespace()
        with contextlib.ExitStack() as stack:
            work: dict[str, Callable[[], tuple[float, ...]]] = {}
            for way, encode in ways.items():
                bench.say(f"{consumers} consumers of {size:,} instances: {way}")
                service = stack.enter_context(published(bench, namespace, size, way.replace(" ", "-"), encode))
                processes = []
                for _ in range(PROCESSES):
                    each = Consumers.of(way, consumers // PROCESSES, bench.hosts, namespace, service.service, size)
                    stack.callback(each.close)
                    processes.append(each)
                work[way] = partial(batch, bench, service, processes, size, changes)
            bench.say(f"{count} times {changes} changes for each")
            values = samples(work, count)
        for place, (subject, unit) in enumerate(SUBJECTS):
            figures = {way: Figure.of([each[place] for each in batches]) for way, batches in values.items()}
            rows.append(Row(subject.format(consumers), unit, figures, ahead(figures), size))
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["consume"]:
        way, count, hosts, namespace, service, size = sys.argv[2:]
        consume(way, int(count), hosts, namespace, service, int(size))
    else:
        main(measure, __doc__)
