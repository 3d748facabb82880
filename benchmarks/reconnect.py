"""What does a dropped connection cost a client that watches 10,000 instances in 100 services?

Counted are the requests, and timed is the way from the cut until all that is known is fresh: listed and read on the new
connection, as what changed during the cut raises no event. kazoo: its ChildrenWatches list again by themselves; what
the children hold is then read again by hand, one by one or pipelined.

    python -m benchmarks.reconnect [--quick]
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from kazoo.client import KazooState

from benchmarks.common import LIMIT, OURS, Bench, Figure, Published, Row, Target, main, samples
from benchmarks.peers import KazooView, kazoo, requests_of
from tests.support import Truth, counting, wait_view
from zkdiscovery.testing import FaultProxy

SERVICES, EACH = 100, 100

Cost = tuple[float, float]  # requests, seconds


@contextlib.contextmanager
def ours(bench: Bench, namespace: str, names: list[str], each: int) -> Iterator[Callable[[], Cost]]:
    """The SDK."""
    with FaultProxy(bench.hosts) as proxy, bench.client(namespace, hosts=proxy.address) as client:
        views = [client.discover(name) for name in names]
        for view in views:
            view.wait_ready(LIMIT, at_least=each)

        def cut() -> Cost:
            versions = [view.snapshot.version for view in views]
            with counting(client) as requests:
                start = time.monotonic()
                proxy.drop()
                for view, version in zip(views, versions, strict=True):
                    wait_view(view, lambda now, v=version: now.version > v and not now.stale, LIMIT)  # type: ignore[misc]
                return requests.total(), time.monotonic() - start

        yield cut


@contextlib.contextmanager
def by_hand(
    bench: Bench, paths: list[str], each: int, read: Callable[[KazooView], object]
) -> Iterator[Callable[[], Cost]]:
    """kazoo; `read` gets all that one view knows anew."""
    with FaultProxy(bench.hosts) as proxy, kazoo(proxy.address) as client:
        views = [KazooView(client, path).wait(each) for path in paths]
        connected = threading.Event()

        def note(state: KazooState) -> None:
            if state == KazooState.CONNECTED:
                connected.set()

        client.add_listener(note)

        def cut() -> Cost:
            connected.clear()
            with requests_of(client) as requests:
                start = time.monotonic()
                proxy.drop()
                assert connected.wait(LIMIT)
                for view in views:
                    read(view)
                return requests.total(), time.monotonic() - start

        yield cut


def measure(bench: Bench) -> list[Row]:
    """Cuts by turns."""
    for name in ("zkdiscovery", "kazoo"):  # cuts are what is wanted
        logging.getLogger(name).setLevel(logging.CRITICAL)
    services, each, times = (20, 50, 2) if bench.quick else (SERVICES, EACH, 5)
    namespace = bench.namespace()
    names = [f"service-{number:03}" for number in range(services)]
    with contextlib.ExitStack() as stack:
        truth = stack.enter_context(Truth(bench.hosts))
        paths = []
        for name in names:
            instances = Published(truth, namespace, name)
            instances.add(*range(each))
            paths.append(instances.path)
        bench.say(f"filling {services * each:,} instances in {services} services for each client")
        ways = {
            OURS: stack.enter_context(ours(bench, namespace, names, each)),
            "kazoo, one by one": stack.enter_context(by_hand(bench, paths, each, KazooView.refresh)),
            "kazoo, pipelined": stack.enter_context(by_hand(bench, paths, each, KazooView.refresh_pipelined)),
        }
        bench.say(f"{times} cuts for each")
        taken = samples(ways, times)
    what = f"fresh again, {services * each:,} instances in {services} services"
    requests, seconds = (
        {way: Figure.of([c[place] for c in costs]) for way, costs in taken.items()} for place in (0, 1)
    )
    return [
        Row(what, "requests", requests, [Target(0.1, "kazoo, pipelined")]),
        Row(what, "s", seconds, [Target(1, "kazoo, pipelined")]),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
