"""What does a storm of updates cost a consumer: the weights of all instances changed each second?

The consumer lives in a process of its own. The one by hand has kazoo's `DataWatch` on each instance and parses the
JSON; Curator's is a ServiceCache. The floor is the least that any client in Python does: a bare socket with a watch,
that reads together what has changed meanwhile, and searches the bytes for the weights. tooz is left out: it has no
watches. A write is one of transactions of 500 nodes; each way has a service of its own, in turns. Requests are those of
the consumer, as received by the server, pings included.

    python -m benchmarks.updates [--quick]
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, SESSION_TIMEOUT, Bench, main, samples
from benchmarks.figures import OURS, Figure, Row
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, for_curator, has_curator
from benchmarks.peers.raw import RawWatch, run
from benchmarks.processes import Process, cpu_seconds, received_from
from benchmarks.published import Encode, Published, encode_instance, published
from zkdiscovery import Change, Client

SIZE = 1_000
MODULE = "benchmarks.updates"
FLOOR = "raw watch"
WEIGHT = re.compile(rb'"weight":"(\d+)"')


class Weights:
    """What the consumer knows: the weight of each instance; and how often it was called."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._known: dict[str, float] = {}
        self._count: Counter[float] = Counter()
        self.calls = 0

    def note(self, weights: dict[str, float]) -> None:
        """Some are so now."""
        with self._changed:
            self.calls += 1
            self._count.subtract(self._known[name] for name in weights if name in self._known)
            self._count.update(weights.values())
            self._known |= weights
            self._changed.notify_all()

    def wait(self, size: int, weight: float) -> None:
        """Until all weigh so much."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count[weight] == size, LIMIT):
                raise TimeoutError("not all have the new weight")


def ours(weights: Weights, hosts: str, namespace: str, service: str) -> object:
    """A view with a callback."""
    client = Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT)
    view = client.discover(service)

    def changed(change: Change) -> None:
        weights.note({each.id: each.weight for each in (*change.added, *change.updated)})

    return client, view, view.on_change(changed)


def kazoo(weights: Weights, hosts: str, namespace: str, service: str) -> object:
    """A DataWatch on each."""
    client = KazooClient(hosts, timeout=SESSION_TIMEOUT)
    client.start()
    path = f"{namespace}/services/{service}"

    def changed(name: str, data: bytes | None, _stat: object, _event: object) -> None:
        if data is not None:
            weights.note({name: float(json.loads(data)["payload"]["metadata"].get("weight", 1.0))})

    for name in client.get_children(path):
        client.DataWatch(f"{path}/{name}", partial(changed, name))
    return client


def raw(weights: Weights, hosts: str, namespace: str, service: str) -> object:
    """A bare socket."""

    def read(paths: Sequence[str], answer: bytes) -> None:
        weights.note(dict(zip(paths, map(float, WEIGHT.findall(answer)), strict=True)))

    path = f"{namespace}/services/{service}"
    watch = RawWatch(hosts, path, read, lambda _: None)
    weights.note({f"{path}/{name}": 1.0 for name in watch.names})  # as it is at first
    threading.Thread(target=run, args=([watch],), daemon=True).start()
    return watch


KINDS: dict[str, Callable[..., object]] = {OURS: ours, "kazoo": kazoo, FLOOR: raw}


def consume(way: str, hosts: str, namespace: str, service: str, size: int) -> None:
    """The process of the consumer: told a weight, it answers the calls so far once all weigh so much."""
    weights = Weights()
    consumer = KINDS[way](weights, hosts, namespace, service)
    weights.wait(size, 1.0)
    print("ready", flush=True)
    for line in sys.stdin:
        weights.wait(size, float(line))
        print(weights.calls, flush=True)
    del consumer


class Consumer(NamedTuple):
    """The process of one."""

    pid: int
    know: Callable[[int], float]  # waits until it knows this weight of all; answers the calls so far
    close: Callable[[], object]

    @classmethod
    def of(cls, way: str, hosts: str, namespace: str, service: str, size: int) -> Consumer:
        """Started, with all loaded."""
        if way != "Curator":
            process = Process(MODULE, "consume", way, hosts, namespace, service, size)

            def know(weight: int) -> float:
                process.tell(weight)
                return float(process.answer()[0])

            return cls(process.pid, know, process.close)
        java = Curator(hosts)
        try:
            java.ask(f"hold {namespace}/services {size} {service}", "seconds")
        except BaseException:
            java.kill()
            raise
        return cls(java.pid, lambda weight: java.ask(f"know {size} {weight} {size}", "calls"), java.kill)


def storm(
    bench: Bench, service: Published, consumer: Consumer, size: int, seconds: int, weights: Iterator[int]
) -> tuple[float, ...]:
    """For each second: ms of CPU, requests, calls; and ms from the last write until all is known."""

    def write() -> int:
        weight = next(weights)
        service.change(*range(size), weight=float(weight))
        return weight

    def spent(calls: float) -> tuple[float, ...]:
        return cpu_seconds(consumer.pid) * 1e3, received_from(bench.hosts, consumer.pid), calls

    before = spent(consumer.know(write()))
    began, weight = time.monotonic(), 0
    for second in range(seconds):
        time.sleep(max(0.0, began + second - time.monotonic()))
        weight = write()
    written = time.perf_counter()
    calls = consumer.know(weight)
    lag = (time.perf_counter() - written) * 1e3
    return *((late - early) / seconds for late, early in zip(spent(calls), before, strict=True)), lag


SUBJECTS = (
    ("CPU a second", "ms"),
    ("requests a second", "requests"),
    ("calls of the callback a second", "calls"),
    ("from the last write until all is known", "ms"),
)


def measure(bench: Bench) -> list[Row]:
    """Some seconds of it, some times."""
    size, seconds, count = (200, 1, 1) if bench.quick else (SIZE, 4, 3)
    ways: dict[str, Encode] = {OURS: encode_instance, "kazoo": encode_instance, FLOOR: encode_instance}
    if has_curator(bench):
        ways["Curator"] = for_curator
    namespace, weights = bench.namespace(), itertools.count(2)
    with contextlib.ExitStack() as stack:
        storms = {}
        for way, encode in ways.items():
            service = stack.enter_context(published(bench, namespace, size, way.replace(" ", "-"), encode))
            consumer = Consumer.of(way, bench.hosts, namespace, service.service, size)
            stack.callback(consumer.close)
            storms[way] = partial(storm, bench, service, consumer, size, seconds, weights)
        values = samples(storms, count)
    rows = []
    for place, (subject, unit) in enumerate(SUBJECTS):
        figures = {way: Figure.of([each[place] for each in taken]) for way, taken in values.items()}
        rows.append(Row(f"{subject}, {size:,} weights changed", unit, figures, ahead(figures)))
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["consume"]:
        way, hosts, namespace, service, size = sys.argv[2:]
        consume(way, hosts, namespace, service, int(size))
    else:
        main(measure, __doc__)
