"""How long does it take to register 1,000 instances?

Until all of them stand in ZooKeeper as ephemeral nodes, by one connected client. kazoo: `create` one by one,
`create_async` all at once, and transactions of 500; Curator: `registerService`. tooz is left out: it has one member a
connection.

    python -m benchmarks.register [--quick]
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, METADATA, OURS, Bench, Published, Row, Target, main, published, rounds, timed
from benchmarks.peers import curator, kazoo
from zkdiscovery.registration.room import Options

COUNT = 1_000
BATCH = 500  # nodes in one transaction
ONE_BY_ONE = "kazoo, one by one"


def one_by_one(client: KazooClient, nodes: dict[str, bytes]) -> None:
    for path, data in nodes.items():
        client.create(path, data, ephemeral=True)


def pipelined(client: KazooClient, nodes: dict[str, bytes]) -> None:
    for answer in [client.create_async(path, data, ephemeral=True) for path, data in nodes.items()]:
        answer.get(timeout=LIMIT)


def transactions(client: KazooClient, nodes: dict[str, bytes]) -> None:
    paths = list(nodes)
    for start in range(0, len(paths), BATCH):
        transaction = client.transaction()
        for path in paths[start : start + BATCH]:
            transaction.create(path, nodes[path], ephemeral=True)
        assert all(isinstance(result, str) for result in transaction.commit())


def with_kazoo(
    bench: Bench, instances: Published, count: int, work: Callable[[KazooClient, dict[str, bytes]], None]
) -> Callable[[], float]:
    """A way with a session of its own, whose end takes the nodes out. Encoding is part of the work, as it is for us."""

    def measure() -> float:
        with kazoo(bench.hosts) as client:
            return timed(lambda: work(client, {instances.node(n): instances.data(n) for n in range(count)}))

    return measure


def ours(bench: Bench, namespace: str, count: int) -> float:
    """The SDK."""
    entries: list[Options] = [
        {"service": "payments", "host": "10.0.0.1", "port": 1 + n, "metadata": METADATA} for n in range(count)
    ]

    def register() -> None:
        for registration in client.register_many(entries):
            registration.wait_registered(LIMIT)

    with bench.client(namespace) as client:
        return timed(register)


def measure(bench: Bench) -> list[Row]:
    """By turns."""
    count, times = (200, 2) if bench.quick else (COUNT, 9)
    namespace, foreign = bench.namespace(), bench.namespace()
    with contextlib.ExitStack() as stack:
        instances = stack.enter_context(published(bench, namespace, 0))
        ways = {
            OURS: lambda: ours(bench, namespace, count),
            ONE_BY_ONE: with_kazoo(bench, instances, count, one_by_one),
            "kazoo, pipelined": with_kazoo(bench, instances, count, pipelined),
            "kazoo, transactions": with_kazoo(bench, instances, count, transactions),
        }
        if java := stack.enter_context(curator(bench)):
            ways["Curator"] = lambda: java.ask(f"register {foreign}/services payments {count}", "seconds")
        bench.say(f"{times} times {count:,} registrations for each of {', '.join(ways)}")
        targets = [Target(1 / 20, ONE_BY_ONE), Target(1, "Curator")]
        return [Row(f"{count:,} registrations", "s", rounds(ways, times), targets)]


if __name__ == "__main__":
    main(measure, __doc__)
