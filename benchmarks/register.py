"""How long does it take to register 1,000 instances?

Until all of them stand in ZooKeeper as ephemeral nodes, by one connected client. kazoo: `create` one by one,
`create_async` all at once, and transactions of 500; Curator: `registerService`. tooz is left out: it has one member a
connection. The floor is our own transactions of 500, without all that a registration is beside its node.

A server syncs each transaction to its disk before it answers, unless it is told not to (`forceSync=no`), as that of all
other questions is. So this is measured on one of either kind.

    python -m benchmarks.register [--quick]
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, Bench, main, rounds, timed
from benchmarks.figures import OURS, Row, Target, milliseconds
from benchmarks.peers import ahead
from benchmarks.peers.curator import curator
from benchmarks.peers.kazoo import kazoo
from benchmarks.published import Published, metadata, published
from zkdiscovery.errors import NoServerForTests
from zkdiscovery.registration import Options
from zkdiscovery.testing import zookeeper_server

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
        {"service": "payments", "host": "10.0.0.1", "port": 1 + n, "metadata": metadata(n)} for n in range(count)
    ]

    def register() -> None:
        for registration in client.register_many(entries):
            registration.wait_registered(LIMIT)

    with bench.client(namespace) as client:
        return timed(register)


def floor(instances: Published, count: int) -> float:
    """What the transactions take alone."""
    seconds = timed(lambda: instances.add(*range(count)))
    instances.remove(*range(count))
    return seconds


def registrations(bench: Bench, where: str, count: int, times: int, factor: float | None) -> Row:
    """By turns; ours must take so many times less than `create` one by one."""
    namespace, foreign = bench.namespace(), bench.namespace()
    with contextlib.ExitStack() as stack:
        instances = stack.enter_context(published(bench, namespace, 0))
        ways = {
            OURS: lambda: ours(bench, namespace, count),
            ONE_BY_ONE: with_kazoo(bench, instances, count, one_by_one),
            "kazoo, pipelined": with_kazoo(bench, instances, count, pipelined),
            "kazoo, transactions": with_kazoo(bench, instances, count, transactions),
            "transactions alone": lambda: floor(instances, count),
        }
        if java := stack.enter_context(curator(bench)):
            ways["Curator"] = lambda: java.ask(f"register {foreign}/services payments {count}", "seconds")
        bench.say(f"{times} times {count:,} registrations for each of {', '.join(ways)}; {where}")
        targets = [Target(1 / factor, ONE_BY_ONE)] if factor else []
        return Row(
            f"{count:,} registrations, {where}",
            "ms",
            milliseconds(rounds(ways, times)),
            targets + ahead(ways, [ONE_BY_ONE]),
        )


def measure(bench: Bench) -> list[Row]:
    """On both kinds of server."""
    count, times = (200, 2) if bench.quick else (COUNT, 6)
    rows = [registrations(bench, "no sync to disk", count, times, None)]
    try:
        with zookeeper_server(source="local", config={"forceSync": "yes"}) as server:
            rows.append(registrations(bench.on(server), "each transaction synced", count, times, 20.0))
    except NoServerForTests as error:
        bench.say(f"left out: a server that syncs, for none can be started here: {error}")
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
