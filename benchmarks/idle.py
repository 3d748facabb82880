"""What does a client cost that has nothing to do: CPU, wake-ups, requests?

Each client lives in a process of its own, and all of them at the same time: beside the SDK stands kazoo used in the
usual way, with a `ChildrenWatch` for each service. CPU is that of the whole process; a wake-up is a voluntary context
switch of one of its threads; requests are what the server received, pings included, and is counted for one client
after the other.

    python -m benchmarks.idle [--quick]
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Callable

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, OURS, SESSION_TIMEOUT, Bench, Figure, Row, main
from benchmarks.processes import Process, received
from zkdiscovery import Client
from zkdiscovery.testing.wire import RawSession

SERVICES = 1_000
MODULE = "benchmarks.idle"


def ours(hosts: str, namespace: str, services: int) -> contextlib.AbstractContextManager[object]:
    """Views of so many services, all loaded."""
    client = Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT).wait_connected(LIMIT)
    views = [client.discover(f"service-{number}") for number in range(services)]
    for view in views:
        view.wait_ready(LIMIT, at_least=0)
    return contextlib.closing(client)


def leading(hosts: str, namespace: str, _services: int) -> contextlib.AbstractContextManager[object]:
    """The leader of an election, which renews its lease."""
    client = Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT).wait_connected(LIMIT)
    return client.election("job").campaign(LIMIT)


def kazoo(hosts: str, namespace: str, services: int) -> contextlib.AbstractContextManager[object]:
    """A ChildrenWatch for each service."""
    client = KazooClient(hosts, timeout=SESSION_TIMEOUT)
    client.start()
    for number in range(services):
        client.ChildrenWatch(f"{namespace}/services/service-{number}", lambda _children: None)
    return contextlib.nullcontext()


def kazoo_leading(hosts: str, namespace: str, _services: int) -> contextlib.AbstractContextManager[object]:
    """The holder of kazoo's lock."""
    client = KazooClient(hosts, timeout=SESSION_TIMEOUT)
    client.start()
    lock = client.Lock(f"{namespace}/lock")
    lock.acquire(timeout=LIMIT)
    return contextlib.nullcontext()


KINDS: dict[str, Callable[[str, str, int], contextlib.AbstractContextManager[object]]] = {
    "ours": ours, "leading": leading, "kazoo": kazoo, "kazoo_leading": kazoo_leading
}  # fmt: skip


def idle(kind: str, hosts: str, namespace: str, services: int) -> None:
    """The process of one client: for each line it is told, CPU seconds and wake-ups so far."""
    with KINDS[kind](hosts, namespace, services):
        print("ready", flush=True)
        for _ in sys.stdin:
            print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, flush=True)


def scene(bench: Bench, what: str, kinds: dict[str, str], services: int, namespace: str) -> list[Row]:
    """CPU and wake-ups of one kind of idle client, all ways at the same time; then the requests of each way alone."""
    seconds, count = (2.0, 1) if bench.quick else (5.0, 4)
    cpu: dict[str, list[float]] = {way: [] for way in kinds}
    wakes: dict[str, list[float]] = {way: [] for way in kinds}
    packets = {}
    arguments = bench.hosts, namespace, services
    with contextlib.ExitStack() as stack:
        alive = {way: Process(MODULE, "idle", kind, *arguments) for way, kind in kinds.items()}
        for process in alive.values():
            stack.callback(process.close)
        time.sleep(1.0)
        for _ in range(count):
            before = {way: process.ask() for way, process in alive.items()}
            time.sleep(seconds)
            for way, process in alive.items():
                used, switches = process.ask()
                cpu[way].append((used - before[way][0]) / seconds * 1e3)
                wakes[way].append((switches - before[way][1] - 1) / seconds)  # one is for the answer
    for way, kind in kinds.items():
        with contextlib.closing(Process(MODULE, "idle", kind, *arguments)):
            time.sleep(1.0)
            start = received(bench.hosts)
            time.sleep(2 * seconds)
            packets[way] = (received(bench.hosts) - start) / (2 * seconds)
    return [
        Row(f"CPU, {what}", "ms/s", {way: Figure.of(values) for way, values in cpu.items()}),
        Row(f"wake-ups, {what}", "/s", {way: Figure.of(values) for way, values in wakes.items()}),
        Row(f"requests, {what}", "/s", {way: Figure(value, value, value) for way, value in packets.items()}),
    ]


def measure(bench: Bench) -> list[Row]:
    """Nothing to do; a term held; a thousand services watched."""
    namespace, services = bench.namespace(), 100 if bench.quick else SERVICES
    with RawSession(bench.hosts) as raw:
        path = ""
        for part in f"{namespace}/services".strip("/").split("/"):
            path += f"/{part}"
            with contextlib.suppress(Exception):
                raw.create(path)
        for number in range(services):
            raw.create(f"{path}/service-{number}")
        watching = {OURS: "ours", "kazoo": "kazoo"}
        return [
            *scene(bench, "connected", watching, 0, namespace),
            *scene(bench, "leading", {OURS: "leading", "kazoo": "kazoo_leading"}, 0, namespace),
            *scene(bench, f"{services:,} services watched", watching, services, namespace),
        ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["idle"]:
        idle(*sys.argv[2:5], int(sys.argv[5]))
    else:
        main(measure, __doc__)
