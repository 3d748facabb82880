"""How long until a consumer sees a new instance, among N others?

From before the write, in another session and another process, until the consumer's callback knows of the instance,
decoded; ours is a whole view, whose picker is built anew before that. Every consumer has a process and a service of its
own, Curator's of all sizes share one, and sees one change at a time; all sizes and ways by turns. kazoo: a
ChildrenWatch that gets the children that are new; Curator: a ServiceCache. tooz is left out: it has no watches. The
floor is a bare socket with a watch that reads what is new, undecoded. Times of day are those of the monotonic clock,
which all processes share. Requests are what the server received from the consumer.

    python -m benchmarks.change [--quick]
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from benchmarks.common import LIMIT, SESSION_TIMEOUT, Bench, main, samples
from benchmarks.figures import OURS, Figure, Row, Target
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, curator, for_curator
from benchmarks.peers.kazoo import KazooView, kazoo
from benchmarks.peers.raw import RawCount
from benchmarks.processes import Process, received_from
from benchmarks.published import Published, encode_instance, published
from zkdiscovery import Change, Client

FLOOR = "raw watch"
LARGEST = {"kazoo": 10_000, "Curator": 10_000}
FLAT = 1.3  # times the figure of the smallest size, at most, at 10,000
MODULE = "benchmarks.change"

Seen = Callable[[int], float]  # waits until there are so many; answers when that was, in monotonic seconds


class Known:
    """How many instances the callback of our view knows of, and since when."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._size, self._since = -1, 0.0

    def note(self, change: Change) -> None:
        """The callback."""
        now = time.monotonic()
        with self._changed:
            self._size, self._since = len(change.after.instances), now
            self._changed.notify_all()

    def wait(self, size: int) -> float:
        """Until there are so many."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._size == size, LIMIT):
                raise TimeoutError(f"{self._size} instances, not {size}")
            return self._since


def ours(hosts: str, namespace: str, service: str, stack: contextlib.ExitStack) -> Seen:
    """A view with a callback."""
    client = stack.enter_context(Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT))
    known = Known()
    stack.enter_context(client.discover(service).on_change(known.note))
    return known.wait


def by_hand(hosts: str, namespace: str, service: str, stack: contextlib.ExitStack) -> Seen:
    """The same with kazoo."""
    view = KazooView(stack.enter_context(kazoo(hosts)), f"{namespace}/services/{service}")
    return lambda size: view.wait(size).changed_at


def raw(hosts: str, namespace: str, service: str, stack: contextlib.ExitStack) -> Seen:
    """The floor."""
    watch = stack.enter_context(contextlib.closing(RawCount(hosts, f"{namespace}/services/{service}")))

    def seen(size: int) -> float:
        watch.wait(size)
        return time.monotonic()

    return seen


KINDS: dict[str, Callable[[str, str, str, contextlib.ExitStack], Seen]] = {OURS: ours, "kazoo": by_hand, FLOOR: raw}


def consume(way: str, hosts: str, namespace: str, service: str, size: int) -> None:
    """The process of one: told a number of instances, it answers since when it knows of so many."""
    with contextlib.ExitStack() as stack:
        seen = KINDS[way](hosts, namespace, service, stack)
        seen(size)
        gc.collect()
        gc.freeze()  # what was loaded is no part of a change
        print("ready", flush=True)
        for line in sys.stdin:
            print(seen(int(line)), flush=True)


class Consumer(NamedTuple):
    """One who looks on."""

    instances: Published
    size: int
    pid: int
    seen: Seen

    def see_one(self) -> float:
        """Milliseconds for one change."""
        start = time.monotonic()
        self.instances.add(self.size)
        took = self.seen(self.size + 1) - start
        self.instances.remove(self.size)
        self.seen(self.size)
        return took * 1e3

    def requests(self, hosts: str) -> float:
        """What a change and its reversal cost; the least of three, for a ping may come between."""

        def count() -> float:
            before = received_from(hosts, self.pid)
            self.see_one()
            return received_from(hosts, self.pid) - before

        return min(count() for _ in range(3))


def consumer(bench: Bench, way: str, size: int, java: Curator | None, stack: contextlib.ExitStack) -> Consumer:
    """One of this kind, with all instances loaded."""
    namespace, service = bench.namespace(), f"payments-{size}"
    encode = for_curator if java else encode_instance
    instances = stack.enter_context(published(bench, namespace, size, service, encode))
    if java:
        java.ask(f"watch {namespace}/services {service} {size}", "seconds")
        return Consumer(instances, size, java.pid, lambda _: java.hear("changed") / 1e9)
    process = Process(MODULE, "consume", way, bench.hosts, namespace, service, size)
    stack.callback(process.close)

    def seen(count: int) -> float:
        process.tell(count)
        return float(process.answer()[0])

    return Consumer(instances, size, process.pid, seen)


def measure(bench: Bench) -> list[Row]:
    """All sizes and ways by turns."""
    sizes, count = ((100, 1_000), 20) if bench.quick else ((100, 1_000, 10_000, 100_000), 100)
    consumers: dict[str, Consumer] = {}
    requests: dict[int, dict[str, Figure]] = {}
    with contextlib.ExitStack() as stack:
        java = stack.enter_context(curator(bench))
        for size in sizes:
            bench.say(f"filling {size:,} instances for each consumer")
            ways = [way for way in (*KINDS, *(["Curator"] if java else [])) if size <= LARGEST.get(way, size)]
            for way in ways:
                consumers[f"{way} {size}"] = consumer(bench, way, size, java if way == "Curator" else None, stack)
            counts = {way: consumers[f"{way} {size}"].requests(bench.hosts) for way in ways}
            requests[size] = {way: Figure.of([count]) for way, count in counts.items()}
        bench.say(f"{count} changes for each of {len(consumers)}")
        taken = samples({name: consumer.see_one for name, consumer in consumers.items()}, count)
        if java:
            java.ask("release", "closed")

    def figures(size: int, of: Callable[[list[float]], Figure]) -> dict[str, Figure]:
        return {
            way: of(taken[f"{way} {size}"]) for way in (OURS, FLOOR, "kazoo", "Curator") if f"{way} {size}" in taken
        }

    percentiles: dict[str, Callable[[list[float]], Figure]] = {"p50": Figure.of, "p99": partial(percentile, 99)}
    rows = [
        Row(f"change seen, {name}", "ms", each := figures(size, of), ahead(each), size)
        for name, of in percentiles.items()
        for size in sizes
    ]
    for size in sizes[1:]:
        row = {OURS: Figure.of(taken[f"{OURS} {size}"]), "100 instances": Figure.of(taken[f"{OURS} {sizes[0]}"])}
        targets = [Target(FLAT, "100 instances")] if size <= 10_000 else []
        rows.append(Row(f"change seen, p50, {size:,} instances", "ms", row, targets))
    rows += [
        Row("requests for a change and its reversal", "requests", each, [Target(1), *ahead(each)], size)
        for size, each in requests.items()
    ]
    return rows


def percentile(place: int, values: list[float]) -> Figure:
    """Out of a hundred."""
    return Figure.of([statistics.quantiles(values, n=100, method="inclusive")[place - 1]])


if __name__ == "__main__":
    if sys.argv[1:2] == ["consume"]:
        way, hosts, namespace, service, size = sys.argv[2:]
        consume(way, hosts, namespace, service, int(size))
    else:
        main(measure, __doc__)
