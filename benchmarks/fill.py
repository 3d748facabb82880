"""How long does it take to fill a cache of N instances, and what does one change cost?

Compared in one run, on one server: the floor (the raw bulk read of the same nodes), the cache of the SDK (decoded,
validated, published), and kazoo by hand (pipelined `get_async`, undecoded).

    python benchmarks/fill.py [--quick]

Writes results/fill.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import platform
import secrets
import statistics
import time
from pathlib import Path

from kazoo.client import KazooClient

from zkdiscovery import Client, Service
from zkdiscovery.session import GetChildren, bulk_read
from zkdiscovery.testing import zookeeper_server

RESULTS = Path(__file__).parent / "results"
LIMIT = 120.0  # seconds
TARGETS = {
    "cache / bulk read": "at most 3",
    "kazoo / cache": "at least 15",
    "change at N / change at 100": "at most 1.3",
}


def wait_for_change(view: Service, version: int) -> int:
    """Wait for a snapshot later than `version`; answers its version."""
    with view._changed:
        assert view._changed.wait_for(lambda: view.snapshot.version > version, LIMIT)
        return view.snapshot.version


def fill(hosts: str, size: int, rounds: int) -> dict[str, float]:
    """Seconds for each way, the best of all rounds; and the median time of a change in ms."""
    namespace = f"/bench-{secrets.token_hex(4)}"
    path = f"{namespace}/services/payments"
    best: dict[str, float] = {}

    def note(way: str, start: float) -> None:
        best[way] = min(best.get(way, float("inf")), time.perf_counter() - start)

    with Client(hosts, namespace=namespace, session_timeout=30.0) as owner:
        metadata = {f"key{number}": f"value {number}" for number in range(5)}
        entries = [
            {"service": "payments", "host": "127.0.0.1", "port": 1 + n, "metadata": metadata} for n in range(size)
        ]
        for registration in owner.register_many(entries):
            registration.wait_registered(LIMIT)
        session = owner._use().session
        kazoo = KazooClient(hosts, timeout=30.0)
        kazoo.start()
        for _ in range(rounds):
            start = time.perf_counter()
            deadline = time.monotonic() + LIMIT
            names = session.call(GetChildren(path), deadline=deadline)
            nodes = list(
                bulk_read(session, [f"{path}/{n}" for n in names], generation=session.generation, deadline=deadline)
            )
            note("bulk read", start)
            assert len(nodes) == size

            with Client(hosts, namespace=namespace, session_timeout=30.0).wait_connected() as consumer:
                start = time.perf_counter()
                view = consumer.discover("payments").wait_ready(LIMIT, at_least=size)
                note("cache", start)
                delays = []
                for number in range(20):
                    version = view.snapshot.version
                    start = time.perf_counter()
                    extra = owner.register("payments", 1, host=f"10.0.0.{number}")
                    version = wait_for_change(view, version)
                    delays.append(time.perf_counter() - start)
                    extra.close()
                    wait_for_change(view, version)
                best["change, ms"] = min(best.get("change, ms", float("inf")), statistics.median(delays) * 1e3)

            start = time.perf_counter()
            children = kazoo.get_children(path)
            results = [kazoo.get_async(f"{path}/{child}") for child in children]
            for result in results:
                result.get(timeout=LIMIT)
            note("kazoo, pipelined", start)
        kazoo.stop()
        kazoo.close()
    return best


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small: to see that it runs")
    quick = parser.parse_args().quick
    sizes, rounds = ((100, 1_000), 1) if quick else ((100, 1_000, 10_000), 3)
    with zookeeper_server() as server:
        seconds = {size: fill(server.hosts, size, rounds) for size in sizes}
    ratios = {
        size: {
            "cache / bulk read": row["cache"] / row["bulk read"],
            "kazoo / cache": row["kazoo, pipelined"] / row["cache"],
            "change at N / change at 100": row["change, ms"] / seconds[sizes[0]]["change, ms"],
        }
        for size, row in seconds.items()
    }
    print(f"{'instances':34}", *(f"{size:>10,}" for size in sizes), "   target for the largest")
    for name in ratios[sizes[0]]:
        print(f"{name:34}", *(f"{ratios[size][name]:10.2f}" for size in sizes), f"   {TARGETS[name]}")
    for name in seconds[sizes[0]]:
        unit = name if name.endswith("ms") else f"{name}, s"
        print(f"{unit:34}", *(f"{seconds[size][name]:10.4f}" for size in sizes))
    RESULTS.mkdir(exist_ok=True)
    result = {"python": platform.python_version(), "ratios": ratios, "measured": seconds}
    (RESULTS / "fill.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
