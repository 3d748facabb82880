"""How much memory does a cached instance take, with five entries of metadata?

In a fresh process each: what was allocated while the cache filled (tracemalloc), and what the process grew by (RSS),
over the number of instances. Ours is a whole view, ready to pick; kazoo's a ChildrenWatch with the parsed JSON of each.

    python -m benchmarks.memory [--quick]
"""

from __future__ import annotations

import gc
import multiprocessing
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import psutil

from benchmarks.common import LIMIT, OURS, SESSION_TIMEOUT, Bench, Row, Target, main, published, rounds
from benchmarks.peers import KazooView, kazoo
from zkdiscovery import Client

LARGEST = {OURS: 100_000, "kazoo": 10_000}


def held(way: str, how: str, hosts: str, namespace: str, size: int) -> float:
    """KiB for each instance; in a process of its own."""
    if how == "tracemalloc":
        tracemalloc.start()

    def used() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if how == "tracemalloc" else psutil.Process().memory_info().rss

    if way == OURS:
        with Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT).wait_connected(LIMIT) as client:
            client.discover("nobody")  # all that is loaded on first use
            before = used()
            view = client.discover("payments").wait_ready(LIMIT, at_least=size)
            view.pick()
            return (used() - before) / size / 1024
    with kazoo(hosts) as by_hand:
        KazooView(by_hand, f"{namespace}/services").wait(1)
        before = used()
        cache = KazooView(by_hand, f"{namespace}/services/payments").wait(size)
        return (used() - before) / len(cache.instances) / 1024


def in_fresh_process(*arguments: str | int) -> float:
    """`held`, where nothing was done before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(held, *arguments).result()  # type: ignore[arg-type]


def measure(bench: Bench) -> list[Row]:
    """All sizes."""
    sizes = {1_000: 1} if bench.quick else {1_000: 3, 10_000: 3, 100_000: 1}
    rows = []
    for size, times in sizes.items():
        namespace = bench.namespace()
        with published(bench, namespace, size):
            for how in ("tracemalloc", "RSS"):
                bench.say(f"{size:,} instances, {how}")
                ways = {
                    way: partial(in_fresh_process, way, how, bench.hosts, namespace, size)
                    for way, largest in LARGEST.items()
                    if size <= largest
                }
                # Of 1,000 instances RSS says little: it grows by whole arenas.
                targets = [Target(1.5)] if how == "tracemalloc" or size > 1_000 else []
                rows.append(Row(f"a cached instance, {how}", "KiB", rounds(ways, times), targets, size))
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
