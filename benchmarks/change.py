"""How long until a consumer sees a new instance, among N others?

From before the write, in another session, until the consumer's set has the instance, decoded; ours is a whole view,
whose picker is built anew before the set is published. Every consumer has a service of its own and sees one change at a
time; all sizes and ways by turns. kazoo: a ChildrenWatch that gets the children that are new; Curator: a ServiceCache.
tooz is left out: it has no watches. The floor is a bare socket with a watch that reads what is new, undecoded.

    python -m benchmarks.change [--quick]
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from benchmarks.common import LIMIT, OURS, Bench, Figure, Published, Row, Target, exact, main, published, samples
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, curator, for_curator
from benchmarks.peers.kazoo import KazooView, kazoo, requests_of
from benchmarks.peers.raw import RawCount
from benchmarks.processes import received_from
from tests.support import counting, wait_view

FLOOR = "raw watch"
LARGEST = {"kazoo": 10_000, "Curator": 10_000}
FLAT = 1.3  # times the figure of the smallest size, at most, at 10,000


class Consumer(NamedTuple):
    """One who looks on."""

    instances: Published
    size: int
    seen: Callable[[int], float]  # waits until there are so many; answers when that was, in monotonic seconds

    def see_one(self) -> float:
        """Milliseconds for one change."""
        start = time.monotonic()
        self.instances.add(self.size)
        took = self.seen(self.size + 1) - start
        self.instances.remove(self.size)
        self.seen(self.size)
        return took * 1e3


def ours(bench: Bench, size: int, stack: contextlib.ExitStack) -> tuple[Consumer, Callable[[], float]]:
    """The SDK; and how many requests a change costs."""
    namespace = bench.namespace()
    instances = stack.enter_context(published(bench, namespace, size))
    client = stack.enter_context(bench.client(namespace))
    view = client.discover("payments").wait_ready(LIMIT, at_least=size)

    def seen(count: int) -> float:
        wait_view(view, lambda snapshot: len(snapshot) == count, LIMIT)
        return time.monotonic()

    consumer = Consumer(instances, size, seen)

    def count_requests() -> float:
        with counting(client) as requests:
            consumer.see_one()
        return requests.total()

    return consumer, count_requests


def by_hand(bench: Bench, size: int, stack: contextlib.ExitStack) -> tuple[Consumer, Callable[[], float]]:
    """The same with kazoo."""
    instances = stack.enter_context(published(bench, bench.namespace(), size))
    client = stack.enter_context(kazoo(bench.hosts))
    view = KazooView(client, instances.path).wait(size)
    consumer = Consumer(instances, size, lambda count: view.wait(count).changed_at)

    def count_requests() -> float:
        with requests_of(client) as requests:
            consumer.see_one()
        return requests.total()

    return consumer, count_requests


def raw(bench: Bench, size: int, stack: contextlib.ExitStack) -> Consumer:
    """The floor."""
    instances = stack.enter_context(published(bench, bench.namespace(), size))
    watch = stack.enter_context(contextlib.closing(RawCount(bench.hosts, instances.path)))

    def seen(count: int) -> float:
        watch.wait(count)
        return time.monotonic()

    return Consumer(instances, size, seen)


def of_curator(
    bench: Bench, java: Curator, size: int, stack: contextlib.ExitStack
) -> tuple[Consumer, Callable[[], float]]:
    """The same with Curator; requests are what the server received."""
    namespace = bench.namespace()
    service = f"payments-{size}"
    instances = stack.enter_context(published(bench, namespace, size, service, for_curator))
    java.ask(f"watch {namespace}/services {service} {size}", "seconds")
    consumer = Consumer(instances, size, lambda _: java.hear("changed") / 1e9)

    def count_requests() -> float:
        before = received_from(bench.hosts, java.pid)
        consumer.see_one()
        return received_from(bench.hosts, java.pid) - before

    return consumer, count_requests


def measure(bench: Bench) -> list[Row]:
    """All sizes and ways by turns."""
    sizes, count = ((100, 1_000), 20) if bench.quick else ((100, 1_000, 10_000, 100_000), 100)
    consumers: dict[str, Consumer] = {}
    requests = {}
    with contextlib.ExitStack() as stack:
        java = stack.enter_context(curator(bench))
        for size in sizes:
            bench.say(f"filling {size:,} instances for each consumer")
            consumers[f"{OURS} {size}"], count_ours = ours(bench, size, stack)
            consumers[f"{FLOOR} {size}"] = raw(bench, size, stack)
            if size <= LARGEST["kazoo"]:
                consumers[f"kazoo {size}"], count_kazoo = by_hand(bench, size, stack)
                requests[size] = exact(ours=count_ours(), kazoo=count_kazoo())
            if java and size <= LARGEST["Curator"]:
                consumers[f"Curator {size}"], count_curator = of_curator(bench, java, size, stack)
                requests[size] |= exact(Curator=count_curator())
        # The garbage collector looks at what all the consumers of this process hold: that is no one's own cost.
        gc.collect()
        gc.freeze()
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
    value = statistics.quantiles(values, n=100, method="inclusive")[place - 1]
    return Figure(value, value, value)


if __name__ == "__main__":
    main(measure, __doc__)
