"""How late is a ticking task while an async client is used, and what does the client's first use take of the loop?

Each start is a process of its own, whose loop has a task that ticks every 5 ms. The client starts, registers, follows a
view and campaigns, while ZooKeeper is there, absent, cut off, paused, restarted or wiped, or while its name does not
resolve. A start's lateness is that of its latest tick. CPU is that of the loop's thread, from before the client is
made to after its first calls have returned.

    python -m benchmarks.loop [--starts 20]

It prints a table and writes results/loop.json. Exit status 1: a median is above its target.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
TICK = 0.005  # seconds
BEFORE, FAULT, AFTER = 0.7, 1.5, 1.5  # seconds of a start
LATE = 20.0  # milliseconds: target of the median lateness
CPU = 5.0  # milliseconds: target of the median CPU at first use
LIMIT = 60.0  # seconds for one start


# -- one start, in a process of its own --


async def start(hosts: str, namespace: str, *, entered: bool) -> dict[str, float]:
    """Use a client while a task ticks."""
    from zkdiscovery import AsyncClient, ZkDiscoveryError  # noqa: PLC0415 - before anything is measured

    latest = 0.0

    async def tick() -> None:
        nonlocal latest
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            latest = max(latest, time.monotonic() - due)

    async def quietly(work: Any) -> None:
        with contextlib.suppress(ZkDiscoveryError):
            await work

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.2)  # what the interpreter does first
    latest = 0.0
    begun = time.thread_time()
    client = AsyncClient(hosts, namespace=namespace, session_timeout=4.0)
    if entered:
        await client.start()
    registration = client.register("payments", 8080)
    view = client.discover("payments")
    election = client.election("report")
    first = time.thread_time() - begun
    print("used", flush=True)

    async def lead(term: Any) -> None:
        await term.wait_lost(None)

    async def follow() -> None:
        async for _ in view.changes():
            pass

    waiting = [
        asyncio.create_task(quietly(work))
        for work in (registration.wait_registered(None), view.wait_ready(None), election.run(lead), follow())
    ]
    end = time.monotonic() + BEFORE + FAULT + AFTER
    while time.monotonic() < end:
        await quietly(client.instances("payments", 0.2))
        await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await client.aclose(1.0)
    ticking.cancel()
    return {"late": latest * 1e3, "cpu": first * 1e3}


# -- all starts --


def one(
    hosts: str, namespace: str, fault: Callable[[], object], heal: Callable[[], object], way: str
) -> dict[str, float]:
    """Run one start, with a fault in its middle."""
    command = [sys.executable, "-m", "benchmarks.loop", "--start", hosts, namespace, way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "used\n"
        time.sleep(BEFORE)
        fault()
        time.sleep(FAULT)
        heal()
        answer, _ = child.communicate(timeout=LIMIT)
    found: dict[str, float] = json.loads(answer)
    return found


def main() -> int:
    """Run the starts by turns, and judge their medians."""
    parser = argparse.ArgumentParser("python -m benchmarks.loop", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--starts", type=int, default=20, help="of each case")
    parser.add_argument("--start", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.start:
        hosts, namespace, way = asked.start
        print(json.dumps(asyncio.run(start(hosts, namespace, entered=way == "entered"))))
        return 0
    from zkdiscovery.testing import FaultProxy, zookeeper_server  # noqa: PLC0415 - not in the measured processes

    def nothing() -> None:
        pass

    with zookeeper_server() as server, FaultProxy(server.hosts) as proxy:
        cases: dict[str, tuple[str, Callable[[], object], Callable[[], object], str]] = {
            "there": (server.hosts, nothing, nothing, "entered"),
            "there, first use on the loop": (server.hosts, nothing, nothing, "on the loop"),
            "absent": ("127.0.0.1:1", nothing, nothing, "entered"),
            "a name that does not resolve": ("no-such-host.invalid:2181", nothing, nothing, "entered"),
            "cut off and back": (proxy.address, proxy.refuse, proxy.heal, "entered"),
            "paused and back": (proxy.address, proxy.pause, proxy.heal, "entered"),
            "restarted": (server.hosts, server.restart, nothing, "entered"),
            "wiped": (server.hosts, lambda: server.restart(wipe=True), nothing, "entered"),
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
        for _ in range(asked.starts):
            for name, (hosts, fault, heal, way) in cases.items():
                found[name].append(one(hosts, server.namespace, fault, heal, way))
                proxy.heal()
    return show(found)


def show(found: dict[str, list[dict[str, float]]]) -> int:
    """Print the medians and the maxima; 1 if a median is above its target."""
    table = Table(title=f"A task that ticks every {TICK * 1e3:.0f} ms; CPU of the loop's thread at first use")
    for column in ("ZooKeeper is", "late, median", "late, maximum", "CPU, median", "CPU, maximum"):
        table.add_column(column, justify="left" if column == "ZooKeeper is" else "right")
    missed = 0
    for name, starts in found.items():
        late, cpu = ([each[key] for each in starts] for key in ("late", "cpu"))
        missed += statistics.median(late) > LATE or statistics.median(cpu) > CPU
        table.add_row(name, *(f"{value:.1f} ms" for of in (late, cpu) for value in (statistics.median(of), max(of))))
    Console().print(table)
    print(f"Targets: late {LATE:.0f} ms, CPU {CPU:.0f} ms, both of the median. Missed: {missed or 'none'}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "loop.json").write_text(json.dumps(found))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
