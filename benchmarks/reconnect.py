"""What does a dropped connection cost a client that watches 10,000 instances in 100 services?

The link stands still, one instance of each service changes, and the connection is cut: that no event tells of. Timed is
the way from the cut until the cache of each service shows its change; counted are the requests that the server received
from then on over the new connection. kazoo: its ChildrenWatches list again by themselves; what the children hold is
then read again by hand, one by one or pipelined. Curator: a ServiceCache for each service; ZooKeeper's Java client
waits for up to a second before it connects again. tooz is left out: it has no cache. The floor watches, lists and reads
all over a new connection, one request after another. Every way goes through a proxy in this process, which takes its
time.

    python -m benchmarks.reconnect [--quick]
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from kazoo.client import KazooState

from benchmarks.common import LIMIT, Bench, main, samples
from benchmarks.figures import OURS, Figure, Row, Target
from benchmarks.peers import ahead
from benchmarks.peers.curator import curator, for_curator
from benchmarks.peers.kazoo import KazooView, kazoo
from benchmarks.processes import connections
from benchmarks.published import Encode, Published, encode_instance
from tests.support import Truth, wait_view
from zkdiscovery.session.requests import MultiRead, SetWatches
from zkdiscovery.testing import FaultProxy
from zkdiscovery.testing.wire import RawSession

SERVICES, EACH = 100, 100

FLOOR = "raw reads"

Cost = tuple[float, float]  # requests, seconds
Fresh = Callable[[str], int]  # waits until each service shows an instance of this weight; answers the session's id
Client = Callable[[FaultProxy], AbstractContextManager[Fresh | None]]  # connected by way of a proxy, all filled


def cut(bench: Bench, services: list[Published], weights: Iterator[int], proxy: FaultProxy, fresh: Fresh) -> Cost:
    """One cut, behind which each service has another instance of a new weight."""
    weight = next(weights)
    proxy.pause()
    for service in services:
        service.change(0, weight=float(weight))
    start = time.monotonic()
    proxy.drop()
    proxy.heal()
    session = fresh(str(weight))
    seconds = time.monotonic() - start
    return next(each.received for each in connections(bench.hosts) if each.session == session), seconds


@contextlib.contextmanager
def ours(bench: Bench, proxy: FaultProxy, namespace: str, names: list[str], each: int) -> Iterator[Fresh]:
    """The SDK."""
    with bench.client(namespace, hosts=proxy.address) as client:
        views = [client.discover(name) for name in names]
        for view in views:
            view.wait_ready(LIMIT, at_least=each)

        def fresh(weight: str) -> int:
            for view in views:
                wait_view(view, lambda now: not now.stale and any(i.weight == float(weight) for i in now), LIMIT)
            return client.slot.current().session.session_id

        yield fresh


@contextlib.contextmanager
def by_hand(proxy: FaultProxy, paths: list[str], each: int, read: Callable[[KazooView], object]) -> Iterator[Fresh]:
    """kazoo; `read` gets all that one view knows anew."""
    with kazoo(proxy.address) as client:
        views = [KazooView(client, path).wait(each) for path in paths]
        connected = threading.Semaphore(0)

        def note(state: KazooState) -> None:
            if state == KazooState.CONNECTED:
                connected.release()

        client.add_listener(note)

        def fresh(weight: str) -> int:
            assert connected.acquire(timeout=LIMIT)
            for view in views:
                read(view)
                assert any(node["payload"]["metadata"].get("weight") == weight for node in view.instances.values())
            session: int = client.client_id[0]
            return session

        yield fresh


@contextlib.contextmanager
def of_curator(bench: Bench, proxy: FaultProxy, namespace: str, names: list[str], each: int) -> Iterator[Fresh | None]:
    """Curator, where it is there."""
    with curator(bench, proxy.address) as java:
        if java is None:
            yield None
            return
        java.ask(f"hold {namespace}/services {each} {' '.join(names)}", "seconds")

        def fresh(weight: str) -> int:
            java.ask(f"know {each} {weight} 1", "known")
            return java.session

        yield fresh


@contextlib.contextmanager
def raw(proxy: FaultProxy, paths: list[str]) -> Iterator[Fresh]:
    """Bare requests, one after another: watches on all services, and for each its list and its instances."""
    with contextlib.ExitStack() as stack:

        def fresh(weight: str) -> int:
            stack.close()  # what was cut
            session = stack.enter_context(RawSession(proxy.address, timeout=LIMIT))
            session.request(SetWatches.type, SetWatches(paths).serialize())
            for path in paths:
                nodes = MultiRead([f"{path}/{name}" for name in session.children(path)])
                assert f'"weight":"{weight}"'.encode() in session.request(MultiRead.type, nodes.serialize())
            known: int = session.session_id
            return known

        yield fresh


def measure(bench: Bench) -> list[Row]:
    """Cuts by turns."""
    for name in ("zkdiscovery", "kazoo"):  # cuts are what is wanted
        logging.getLogger(name).setLevel(logging.CRITICAL)
    services, each, times = (20, 50, 1) if bench.quick else (SERVICES, EACH, 3)
    names = [f"service-{number:03}" for number in range(services)]
    weights = itertools.count(2)
    with contextlib.ExitStack() as stack:
        truth = stack.enter_context(Truth(bench.hosts))

        def publish(encode: Encode) -> tuple[str, list[Published]]:
            namespace = bench.namespace()
            published = [Published(truth, namespace, name, encode) for name in names]
            for service in published:
                service.add(*range(each))
            return namespace, published

        bench.say(f"filling {services * each:,} instances in {services} services for each client")
        namespace, standard = publish(encode_instance)
        foreign, for_java = publish(for_curator)
        paths = [service.path for service in standard]
        ways: dict[str, Callable[[], Cost]] = {}

        def add(way: str, client: Client, instances: list[Published]) -> None:
            proxy = stack.enter_context(FaultProxy(bench.hosts))
            if fresh := stack.enter_context(client(proxy)):
                ways[way] = partial(cut, bench, instances, weights, proxy, fresh)

        add(OURS, lambda proxy: ours(bench, proxy, namespace, names, each), standard)
        add("kazoo, one by one", lambda proxy: by_hand(proxy, paths, each, KazooView.refresh), standard)
        add("kazoo, pipelined", lambda proxy: by_hand(proxy, paths, each, KazooView.refresh_pipelined), standard)
        add("Curator", lambda proxy: of_curator(bench, proxy, foreign, names, each), for_java)
        add(FLOOR, lambda proxy: raw(proxy, paths), standard)
        bench.say(f"{times} cuts for each")
        taken = samples(ways, times)
    what = f"fresh again, {services * each:,} instances in {services} services"
    requests, seconds = (
        {way: Figure.of([c[place] for c in costs]) for way, costs in taken.items()} for place in (0, 1)
    )
    return [
        Row(what, "requests", requests, [Target(0.1, "kazoo, pipelined"), *ahead(requests, ["kazoo, pipelined"])]),
        Row(what, "s", seconds, ahead(seconds)),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
