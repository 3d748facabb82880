"""What do 1,000 registrations at once cost a consumer, and 1,000 departures?

One session writes a thousand nodes one by one, without waiting, as a thousand processes would. Counted are the requests
and the snapshots (calls of a listener) of one consumer, until it has seen all. kazoo: a ChildrenWatch that gets the
children that are new; Curator: a ServiceCache, whose requests are those that the server received from it, pings
included. tooz is left out: it has no watches. The floor is a bare socket with a watch that reads together what is new,
and decodes and publishes nothing.

    python -m benchmarks.storm [--quick]
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.common import LIMIT, Bench, main, samples
from benchmarks.figures import OURS, Figure, Row, Target
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, curator, for_curator
from benchmarks.peers.kazoo import KazooView, kazoo, requests_of
from benchmarks.peers.raw import RawCount
from benchmarks.processes import received_from
from benchmarks.published import Published, published
from tests.support import counting, wait_view

COUNT = 1_000


class Cost(NamedTuple):
    """Of one storm."""

    requests: float
    snapshots: float
    seconds: float


Storms = tuple[Cost, Cost]  # arrivals, departures
BOTH = (True, False)  # they arrive; they leave


def write(instances: Published, count: int, *, arriving: bool) -> None:
    """All at once."""
    instances.add_singly(*range(count)) if arriving else instances.remove_singly(*range(count))


@contextlib.contextmanager
def ours(bench: Bench, count: int) -> Iterator[Callable[[], Storms]]:
    """The SDK."""
    namespace = bench.namespace()
    with published(bench, namespace, 0) as instances, bench.client(namespace) as client:
        view = client.discover("payments")
        wait_view(view, lambda snapshot: snapshot.loaded, LIMIT)

        def storm(*, arriving: bool) -> Cost:
            version, start = view.snapshot.version, time.monotonic()
            with counting(client) as requests:
                write(instances, count, arriving=arriving)
                snapshot = wait_view(view, lambda snapshot: len(snapshot) == count * arriving, LIMIT)
            return Cost(requests.total(), snapshot.version - version, time.monotonic() - start)

        yield lambda: (storm(arriving=True), storm(arriving=False))


@contextlib.contextmanager
def by_hand(bench: Bench, count: int) -> Iterator[Callable[[], Storms]]:
    """kazoo."""
    with published(bench, bench.namespace(), 0) as instances, kazoo(bench.hosts) as client:
        view = KazooView(client, instances.path)

        def storm(*, arriving: bool) -> Cost:
            changes, start = view.changes, time.monotonic()
            with requests_of(client) as requests:
                write(instances, count, arriving=arriving)
                view.wait(count * arriving)
            return Cost(requests.total(), view.changes - changes, view.changed_at - start)

        yield lambda: (storm(arriving=True), storm(arriving=False))


@contextlib.contextmanager
def raw(bench: Bench, count: int) -> Iterator[Callable[[], Storms]]:
    """A bare socket; it publishes nothing."""
    with (
        published(bench, bench.namespace(), 0) as instances,
        contextlib.closing(RawCount(bench.hosts, instances.path)) as watch,
    ):

        def storm(*, arriving: bool) -> Cost:
            reads, start = watch.reads, time.monotonic()
            write(instances, count, arriving=arriving)
            watch.wait(count * arriving)
            return Cost(watch.reads - reads, math.nan, time.monotonic() - start)

        yield lambda: (storm(arriving=True), storm(arriving=False))


@contextlib.contextmanager
def of_curator(bench: Bench, java: Curator, count: int) -> Iterator[Callable[[], Storms]]:
    """Curator."""
    namespace = bench.namespace()
    with published(bench, namespace, 0, encode=for_curator) as instances:
        java.ask(f"watch {namespace}/services payments 0", "seconds")

        def storm(*, arriving: bool) -> Cost:
            received, start, changes = received_from(bench.hosts, java.pid), time.monotonic(), 0
            write(instances, count, arriving=arriving)
            while True:
                changed = java.hear("changed")
                changes += 1
                if java.last["count"] == count * arriving:
                    return Cost(received_from(bench.hosts, java.pid) - received, changes, changed / 1e9 - start)

        yield lambda: (storm(arriving=True), storm(arriving=False))


def measure(bench: Bench) -> list[Row]:
    """Storms by turns."""
    logging.getLogger("zkdiscovery").setLevel(logging.ERROR)  # the guard says that many vanish: they do
    count, times = (200, 2) if bench.quick else (COUNT, 5)
    with contextlib.ExitStack() as stack:
        ways = {
            OURS: stack.enter_context(ours(bench, count)),
            "kazoo": stack.enter_context(by_hand(bench, count)),
            "raw watch": stack.enter_context(raw(bench, count)),
        }
        if java := stack.enter_context(curator(bench)):
            ways["Curator"] = stack.enter_context(of_curator(bench, java, count))
        bench.say(f"{times} storms of {count:,} for each of {', '.join(ways)}")
        taken = samples(ways, times)
        if java:
            java.ask("release", "closed")
    rows = []
    for place, what in enumerate((f"{count:,} registrations at once", f"{count:,} departures at once")):
        for field, unit in enumerate(Cost._fields):
            values = {way: [storms[place][field] for storms in each] for way, each in taken.items()}
            figures = {way: Figure.of(each) for way, each in values.items() if not math.isnan(each[0])}
            targets = [*([Target(20)] if unit != "seconds" else []), *ahead(figures)]
            rows.append(Row(what, "s" if unit == "seconds" else unit, figures, targets))
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
