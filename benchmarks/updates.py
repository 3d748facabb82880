"""What does a storm of updates cost a consumer: the weights of all instances changed each second?

The consumer lives in a process of its own. The one by hand has kazoo's `DataWatch` on each instance and parses the
JSON. A write is one of transactions of 500 nodes; each way has a service of its own, in turns.

    python -m benchmarks.updates [--quick]
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, OURS, SESSION_TIMEOUT, Bench, Figure, Published, Row, Target, main, published
from benchmarks.processes import Process, received
from zkdiscovery import Change, Client

SIZE = 1_000
MODULE = "benchmarks.updates"


class Weights:
    """What the consumer knows: the weight of each instance; and how often it was called."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._known: dict[str, float] = {}
        self.calls = 0

    def note(self, weights: dict[str, float]) -> None:
        """Some are so now."""
        with self._changed:
            self.calls += 1
            self._known |= weights
            self._changed.notify_all()

    def wait(self, size: int, weight: float) -> None:
        """Until all weigh so much."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: len(self._known) == size and all(known == weight for known in self._known.values()), LIMIT
            ):
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


KINDS: dict[str, Callable[..., object]] = {OURS: ours, "kazoo": kazoo}


def consume(way: str, hosts: str, namespace: str, service: str, size: int) -> None:
    """The process of the consumer: told a weight, it answers CPU seconds and calls once all weigh so much."""
    weights = Weights()
    consumer = KINDS[way](weights, hosts, namespace, service)
    weights.wait(size, 1.0)
    print("ready", flush=True)
    for line in sys.stdin:
        weights.wait(size, float(line))
        print(time.process_time(), weights.calls, flush=True)
    del consumer


def storm(bench: Bench, service: Published, consumer: Process, size: int, seconds: int) -> tuple[float, ...]:
    """For each second: ms of CPU, requests, calls; and ms from the last write until all is known."""
    cpu, calls = consumer.ask(1.0)
    packets = received(bench.hosts)
    began = time.monotonic()
    for second in range(seconds):
        time.sleep(max(0.0, began + second - time.monotonic()))
        service.change(*range(size), weight=2.0 + second)
    written = time.perf_counter()
    cpu_after, calls_after = consumer.ask(1.0 + seconds)
    lag = (time.perf_counter() - written) * 1e3
    packets = received(bench.hosts) - packets
    service.change(*range(size), weight=1.0)
    consumer.ask(1.0)
    return (cpu_after - cpu) / seconds * 1e3, packets / seconds, (calls_after - calls) / seconds, lag


SUBJECTS = (
    ("CPU a second", "ms"),
    ("requests a second, the writer's included", "requests"),
    ("calls of the callback a second", "calls"),
    ("from the last write until all is known", "ms"),
)


def measure(bench: Bench) -> list[Row]:
    """Some seconds of it, some times."""
    size, seconds, count = (200, 2, 1) if bench.quick else (SIZE, 5, 4)
    namespace = bench.namespace()
    values: dict[str, list[tuple[float, ...]]] = {way: [] for way in KINDS}
    with contextlib.ExitStack() as stack:
        scenes = {}
        for way in KINDS:
            service = stack.enter_context(published(bench, namespace, size, way))
            process = Process(MODULE, "consume", way, bench.hosts, namespace, way, size)
            stack.callback(process.close)
            scenes[way] = service, process
        for turn in range(count):
            for way in list(scenes)[:: 1 if turn % 2 else -1]:
                values[way].append(storm(bench, *scenes[way], size, seconds))
    return [
        Row(
            f"{subject}, {size:,} weights changed", unit,
            {way: Figure.of([each[place] for each in storms]) for way, storms in values.items()},
            [Target(1, "kazoo")],
        )
        for place, (subject, unit) in enumerate(SUBJECTS)
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["consume"]:
        way, hosts, namespace, service, size = sys.argv[2:]
        consume(way, hosts, namespace, service, int(size))
    else:
        main(measure, __doc__)
