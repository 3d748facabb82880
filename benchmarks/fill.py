"""How long does it take to fill a cache of N instances?

Each round: a connected client begins, and holds all instances, decoded, at the end. The floor is the raw bulk read of
the same nodes, undecoded. kazoo: a ChildrenWatch with a `get` for each child, and pipelined `get_async`, both with
`json.loads`; tooz: `get_members` with their capabilities; Curator: a ServiceCache.

    python -m benchmarks.fill [--quick]
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from benchmarks.common import LIMIT, Bench, main, rounds, timed
from benchmarks.figures import OURS, Row, Target, milliseconds
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, curator, for_curator
from benchmarks.peers.kazoo import KazooView, kazoo, pipelined
from benchmarks.peers.tooz import for_tooz, has_tooz, tooz, tooz_members
from benchmarks.published import published
from zkdiscovery.session import GetChildren, Session, bulk_read

FLOOR = "bulk read"
TARGETS = {10_000: [Target(3.0, FLOOR), Target(1 / 15, "kazoo, pipelined"), Target(1 / 5, "Curator")]}  # else: ahead
SLOW = {"kazoo, ChildrenWatch": 1_000, "tooz": 1_000, "kazoo, pipelined": 10_000, "Curator": 10_000}  # up to this size


def read_raw(session: Session, path: str, count: int) -> None:
    """List and read, nothing else."""
    deadline = time.monotonic() + LIMIT
    names = session.call(GetChildren(path), deadline=deadline)
    paths = [f"{path}/{name}" for name in names]
    nodes = list(bulk_read(session, paths, generation=session.generation, deadline=deadline))
    assert len(nodes) == count


def fill(bench: Bench, java: Curator | None, size: int, count: int) -> Row:
    """One size."""
    with contextlib.ExitStack() as stack:
        namespace = bench.namespace()
        path = stack.enter_context(published(bench, namespace, size)).path
        reader = stack.enter_context(bench.client(namespace)).slot.current().session
        by_hand = stack.enter_context(kazoo(bench.hosts))

        def ours() -> float:
            with bench.client(namespace) as client:
                return timed(lambda: client.discover("payments").wait_ready(LIMIT, at_least=size))

        def watched() -> float:
            with kazoo(bench.hosts) as client:
                return timed(lambda: KazooView(client, path).wait(size))

        ways: dict[str, Callable[[], float]] = {
            OURS: ours,
            FLOOR: lambda: timed(lambda: read_raw(reader, path, size)),
            "kazoo, pipelined": lambda: timed(lambda: pipelined(by_hand, path)),
            "kazoo, ChildrenWatch": watched,
        }
        if size <= SLOW["tooz"] and has_tooz(bench):
            other = bench.namespace()
            stack.enter_context(published(bench, other, size, encode=for_tooz))
            coordinator = stack.enter_context(tooz(bench.hosts, f"{other}/services"))
            ways["tooz"] = lambda: timed(lambda: tooz_members(coordinator, "payments"))
        if java and size <= SLOW["Curator"]:
            foreign = bench.namespace()
            stack.enter_context(published(bench, foreign, size, encode=for_curator))
            ways["Curator"] = lambda: java.ask(f"fill {foreign}/services payments {size}", "seconds")
        ways = {way: measure for way, measure in ways.items() if size <= SLOW.get(way, size)}
        return Row("fill", "ms", milliseconds(rounds(ways, count)), TARGETS.get(size, ahead(ways)), size)


def measure(bench: Bench) -> list[Row]:
    """All sizes."""
    sizes = {100: 3, 1_000: 1} if bench.quick else {100: 9, 1_000: 5, 10_000: 5, 100_000: 3}
    rows = []
    with curator(bench) as java:
        for size, count in sizes.items():
            bench.say(f"{size:,} instances")
            rows.append(fill(bench, java, size, count))
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
