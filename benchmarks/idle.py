"""What does a client cost that has nothing to do: CPU, wake-ups, requests?

Each client lives in a process of its own, and all of them at the same time. kazoo has a `ChildrenWatch` for each
service, or holds its lock; Curator a ServiceCache for each, or a `LeaderLatch`. The floor is a bare socket that pings
every third of the session timeout. tooz is left out: its heartbeat is for the user to send. CPU is that of all threads
of the process; a wake-up is a voluntary context switch of one of them; requests are what the server received from it,
pings included, of which one more or less is chance and no target.

    python -m benchmarks.idle [--quick]
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import sys
import time
from collections.abc import Callable

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, SESSION_TIMEOUT, Bench, main
from benchmarks.figures import OURS, Figure, Row
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, has_curator
from benchmarks.peers.raw import RawWatch, run
from benchmarks.processes import Process, cpu_seconds, received_from, wake_ups
from tests.support import Truth
from zkdiscovery import Client

SERVICES = 1_000
MODULE = "benchmarks.idle"
FLOOR = "raw pings"
LEADING = "leading"  # else a number of services
SUBJECTS = (("CPU", "ms/s"), ("wake-ups", "/s"), ("requests", "/s"))

Used = dict[tuple[str, str], tuple[float, ...]]  # by scene and way: of each subject


def ours(hosts: str, namespace: str, what: str) -> object:
    """Views of so many services, all loaded; or a term, whose lease is renewed."""
    client = Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT).wait_connected(LIMIT)
    if what == LEADING:
        term = client.election("job").campaign(LIMIT)
        term.__enter__()
        return term
    views = [client.discover(service) for service in services(what)]
    for view in views:
        view.wait_ready(LIMIT, at_least=0)
    return views


def kazoo(hosts: str, namespace: str, what: str) -> object:
    """A ChildrenWatch for each service; or a lock held."""
    client = KazooClient(hosts, timeout=SESSION_TIMEOUT)
    client.start()
    if what == LEADING:
        lock = client.Lock(f"{namespace}/lock")
        lock.acquire(timeout=LIMIT)
        return lock
    for service in services(what):
        client.ChildrenWatch(f"{namespace}/services/{service}", lambda _children: None)
    return client


def raw(hosts: str, namespace: str, _what: str) -> object:
    """One watch covers all services; a leader has no more to do either."""
    return RawWatch(hosts, f"{namespace}/services", lambda *_: None, lambda _: None)


KINDS: dict[str, Callable[[str, str, str], object]] = {OURS: ours, "kazoo": kazoo, FLOOR: raw}


def services(what: str) -> list[str]:
    """The names of so many."""
    return [f"service-{number}" for number in range(int(what))]


def idle(way: str, hosts: str, namespace: str, what: str) -> None:
    """The process of one client, until it is killed."""
    client = KINDS[way](hosts, namespace, what)
    print("ready", flush=True)
    if isinstance(client, RawWatch):
        run([client])
    sys.stdin.read()


def start(way: str, bench: Bench, namespace: str, what: str) -> Process | Curator:
    """The process of one client, which has nothing to do any more."""
    if way != "Curator":
        return Process(MODULE, "idle", way, bench.hosts, namespace, what)
    java = Curator(bench.hosts)
    if what == LEADING:
        java.tell(f"lead {namespace}/latch")
        java.hear("leading")
    else:
        java.ask(f"hold {namespace}/services 0 {' '.join(services(what))}", "seconds")
    return java


def measure(bench: Bench) -> list[Row]:
    """Nothing to do; a term held; a thousand services watched."""
    watched, seconds, count = (100, 2.0, 1) if bench.quick else (SERVICES, 5.0, 4)
    namespace = bench.namespace()
    scenes = {"connected": "0", "leading": LEADING, f"{watched:,} services watched": str(watched)}
    ways = [*KINDS, *(["Curator"] if has_curator(bench) else [])]
    with contextlib.ExitStack() as stack:
        truth = stack.enter_context(Truth(bench.hosts))
        for service in services(str(watched)):
            truth.create(f"{namespace}/services/{service}")
        pids = {}
        for scene, way in itertools.product(scenes, ways):
            bench.say(f"{scene}: {way}")
            process = start(way, bench, namespace, scenes[scene])
            stack.callback(process.kill)
            pids[scene, way] = process.pid

        def used() -> Used:
            return {
                client: (cpu_seconds(pid) * 1e3, wake_ups(pid), received_from(bench.hosts, pid))
                for client, pid in pids.items()
            }

        time.sleep(1.0)
        bench.say(f"{count} times {seconds:g} s")
        states = [used()]
        for _ in range(count):
            time.sleep(seconds)
            states.append(used())

    def rates(client: tuple[str, str], place: int) -> list[float]:
        values = [state[client][place] for state in states]
        return [(after - before) / seconds for before, after in itertools.pairwise(values)]

    rows = []
    for scene, (place, (subject, unit)) in itertools.product(scenes, enumerate(SUBJECTS)):
        each = {way: rates((scene, way), place) for way in ways}
        if subject == "requests":  # too few for the time that is between two pings
            each = {way: [statistics.mean(values)] for way, values in each.items()}
        figures = {way: Figure.of(values) for way, values in each.items()}
        ours, chance = figures[OURS].median, 1.5 / seconds / count if subject == "requests" else 0.0
        different = [way for way in ways if abs(figures[way].median - ours) > chance]
        rows.append(Row(f"{subject}, {scene}", unit, figures, ahead(different)))
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["idle"]:
        idle(*sys.argv[2:])
    else:
        main(measure, __doc__)
