"""How much memory does a cached instance take, with five entries of metadata?

In a fresh process each: what was allocated while the cache filled (tracemalloc), and what the process grew by (RSS),
over the number of instances. Ours is a whole view, ready to pick; kazoo's a ChildrenWatch with the parsed JSON of each;
tooz's the members with their capabilities, which here are host, port and metadata alone; the floor the nodes as they
were read, undecoded. Curator's ServiceCache is measured by the heap of its JVM after a collection; the RSS of a JVM
says how large it was allowed to be, no more.

    python -m benchmarks.memory [--quick]
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import psutil

from benchmarks.common import LIMIT, SESSION_TIMEOUT, Bench, main, rounds
from benchmarks.figures import OURS, Row, Target
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, curator, for_curator
from benchmarks.peers.kazoo import KazooView, kazoo
from benchmarks.peers.tooz import for_tooz, has_tooz, tooz, tooz_members
from benchmarks.published import Encode, encode_instance, published
from zkdiscovery import Client
from zkdiscovery.session import GetChildren, Node, bulk_read

FLOOR = "bulk read, undecoded"
LARGEST = {OURS: 100_000, FLOOR: 100_000, "kazoo": 10_000, "tooz": 1_000, "Curator": 10_000}
ENCODE: dict[str, Encode] = {"tooz": for_tooz, "Curator": for_curator}
ALLOCATED, RESIDENT = "allocated", "RSS"

Fill = Callable[[str, int], Any]  # reads a service with so many instances, and answers what is to be held


@contextlib.contextmanager
def reader(way: str, hosts: str, namespace: str) -> Iterator[Fill]:
    """A connected client, that has loaded all it loads on first use, as a `Fill`."""
    if way == "kazoo":
        with kazoo(hosts) as by_hand:
            yield lambda service, size: KazooView(by_hand, f"{namespace}/services/{service}").wait(size)
    elif way == "tooz":
        with tooz(hosts, f"{namespace}/services") as coordinator:
            yield lambda service, _: tooz_members(coordinator, service)
    else:
        with Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT).wait_connected(LIMIT) as client:
            yield partial(view, client) if way == OURS else partial(undecoded, client, f"{namespace}/services")


def view(client: Client, service: str, size: int) -> object:
    """Ours, which has picked once."""
    whole = client.discover(service).wait_ready(LIMIT, at_least=size)
    whole.pick()
    return whole


def undecoded(client: Client, path: str, service: str, _size: int) -> object:
    """The data of the nodes, by name."""
    session, deadline = client.slot.current().session, time.monotonic() + LIMIT
    names = session.call(GetChildren(f"{path}/{service}"), deadline=deadline)
    nodes = bulk_read(
        session, [f"{path}/{service}/{name}" for name in names], generation=session.generation, deadline=deadline
    )
    return {name: node.data for name, (_, node) in zip(names, nodes, strict=True) if isinstance(node, Node)}


def held(way: str, how: str, hosts: str, namespace: str, size: int) -> float:
    """KiB for each instance; in a process of its own."""
    if how == ALLOCATED:
        tracemalloc.start()

    def used() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if how == ALLOCATED else psutil.Process().memory_info().rss

    with reader(way, hosts, namespace) as fill:
        fill("one", 1)
        before = used()
        kept = fill("payments", size)
        grown = used() - before
        del kept
        return grown / size / 1024


def in_fresh_process(*arguments: str | int) -> float:
    """`held`, where nothing was done before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(held, *arguments).result()  # type: ignore[arg-type]


def on_heap(java: Curator, namespace: str, size: int) -> float:
    """The same of Curator, whose process has filled a cache before."""
    path = f"{namespace}/services"
    java.ask(f"hold {path} 1 one", "seconds")
    java.ask("release", "closed")
    before = java.ask("heap", "bytes")
    java.ask(f"hold {path} {size} payments", "seconds")
    grown = java.ask("heap", "bytes") - before
    java.ask("release", "closed")
    return grown / size / 1024


def measure(bench: Bench) -> list[Row]:
    """All sizes."""
    sizes = {1_000: 1} if bench.quick else {1_000: 2, 10_000: 1, 100_000: 1}
    fresh = [way for way in LARGEST if way != "Curator" and (way != "tooz" or has_tooz(bench))]
    rows = []
    with curator(bench) as java:
        for size, times in sizes.items():
            bench.say(f"{size:,} instances")
            names = [way for way in [*fresh, *(["Curator"] if java else [])] if size <= LARGEST[way]]
            with contextlib.ExitStack() as stack:
                spaces = {encode: bench.namespace() for encode in {ENCODE.get(way, encode_instance) for way in names}}
                for encode, namespace in spaces.items():
                    for service, count in ("one", 1), ("payments", size):
                        stack.enter_context(published(bench, namespace, count, service, encode))
                where = {way: spaces[ENCODE.get(way, encode_instance)] for way in names}
                for how in (ALLOCATED, RESIDENT):
                    ways = {
                        way: partial(in_fresh_process, way, how, bench.hosts, where[way], size)
                        for way in fresh
                        if way in names
                    }
                    if java and "Curator" in names and how == ALLOCATED:
                        ways["Curator"] = partial(on_heap, java, where["Curator"], size)
                    # A process is fresh each time. Of 1,000 instances RSS says little: it grows by whole arenas.
                    targets = [Target(1.5)] if how == ALLOCATED or size > 1_000 else []
                    rows.append(
                        Row(
                            f"a cached instance, {how}",
                            "KiB",
                            rounds(ways, times, warm=True),
                            [*targets, *ahead(ways)],
                            size,
                        )
                    )
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
