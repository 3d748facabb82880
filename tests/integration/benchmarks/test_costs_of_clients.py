"""What the benchmarks measure of many clients, of links and elections, counted: requests, snapshots, imports."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.published import Published
from tests.conftest import MakeClient
from tests.faults.discovery.helpers import Tap
from tests.integration.election.helpers import Line, settle
from tests.support import LIMIT, Truth, counting, wait_view
from zkdiscovery.testing import FaultProxy


def test_one_addition_is_one_read_for_each_consumer_and_a_removal_none(
    make_client: MakeClient, payments: Published
) -> None:
    size = 100
    payments.add(*range(size))
    clients = [make_client() for _ in range(8)]
    views = [client.discover("payments").wait_ready(LIMIT, at_least=size) for client in clients]
    for change, count, expected in ((payments.add, size + 1, {"MultiRead": 1}), (payments.remove, size, {})):
        versions = [view.snapshot.version for view in views]
        with ExitStack() as stack:
            counts = [stack.enter_context(counting(client)) for client in clients]
            change(size)
            for view in views:
                wait_view(view, lambda snapshot, count=count: len(snapshot) == count)
            for client in clients:
                settle(client)
        assert counts == [expected] * len(clients)
        assert [view.snapshot.version for view in views] == [version + 1 for version in versions]


def test_a_reconnect_reads_all_services_together(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, truth: Truth, namespace: str
) -> None:
    names, each = [f"service-{number}" for number in range(10)], 100
    for name in names:
        Published(truth, namespace, name).add(*range(each))
    client = make_client(zkdiscovery_proxy.address)
    views = [client.discover(name).wait_ready(LIMIT, at_least=each) for name in names]
    versions = [view.snapshot.version for view in views]
    with counting(client) as requests:
        zkdiscovery_proxy.drop()
        for view, version in zip(views, versions, strict=True):
            wait_view(view, lambda now, version=version: now.version > version and not now.stale)
    watches, lists = requests.pop("SetWatches"), requests.pop("GetChildren")
    assert (watches, lists) == (1, len(names))
    assert set(requests) == {"MultiRead"}
    assert requests["MultiRead"] <= len(names) * each // 500 + 1


def test_a_hand_over_is_one_transaction_on_either_side(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    costs = []
    for name in "abc":
        with closing_line(Line(truth, f"{namespace}/elections/{name}")) as line:
            leader, follower = (line.join(make_client(session_timeout=10.0), name=name) for _ in range(2))
            settle(follower.client)
            with counting(leader.client) as by_leader, counting(follower.client) as by_follower:
                leader.leave()
                follower.wait_term()
                leader.join()
                settle(leader.client)
                settle(follower.client)
        costs.append((by_leader, by_follower))
    # A renewal, one transaction each second, may fall into one of them, and makes no other request.
    assert all(set(by) == {"Multi", "RemoveWatches"} for pair in costs for by in pair), costs
    for side in zip(*costs, strict=True):
        assert min(side, key=Counter.total) == {"Multi": 1, "RemoveWatches": 1}, costs


@contextmanager
def closing_line(line: Line) -> Iterator[Line]:
    """Its campaigns end with the block."""
    try:
        yield line
    finally:
        line.end()


class Pings(Tap):
    """Counts what a client sends, and knows when it has sent some pings."""

    def __init__(self, proxy: FaultProxy, wanted: int) -> None:
        self.sent = threading.Event()
        self._wanted = wanted
        super().__init__(proxy)

    def _note(self, chunk: bytes) -> bytes:
        noted = super()._note(chunk)
        if self.requests["ping"] >= self._wanted:
            self.sent.set()
        return noted


def test_an_idle_client_sends_pings_alone(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, truth: Truth, namespace: str
) -> None:
    names = [f"service-{number}" for number in range(50)]
    for name in names:
        Published(truth, namespace, name).add(0, 1)
    client = make_client(zkdiscovery_proxy.address, session_timeout=2.0)
    for name in names:
        client.discover(name).wait_ready(LIMIT, at_least=2)
    settle(client)
    pings = Pings(zkdiscovery_proxy, 3)
    start = time.monotonic()
    assert pings.sent.wait(LIMIT)
    assert set(pings.requests) == {"ping"}
    assert time.monotonic() - start > 2 * 2.0 / 3 * 0.8, "one each third of the session timeout, or somewhat less"


def loaded_by(code: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after it; no variable of ours is set."""
    code = f"import sys; from zkdiscovery import Client; {code}; print(*sys.modules)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZKDISCOVERY_")}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT, env=environment)
    return set(run.stdout.split())


def test_a_client_is_imported_without_what_is_loaded_on_use() -> None:
    names = loaded_by("Client()")
    assert "kazoo.client" in names
    packages = {"asyncio", "dotenv", "httpx", "pydantic", "pydantic_settings", "pytest", "rich", "typer"}
    rooms = {f"zkdiscovery.{room}" for room in ("cli", "demo", "settings", "testing")}
    assert not (packages | rooms) & names


def test_settings_without_variables_load_nothing_that_reads_them() -> None:
    names = loaded_by("Client().settings")
    assert "zkdiscovery.settings" in names
    assert not {"asyncio", "dotenv", "pydantic_settings"} & names
