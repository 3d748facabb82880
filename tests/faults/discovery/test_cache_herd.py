"""Five hundred clients that lose their server at one moment: what their return costs it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.faults.discovery.helpers import packets
from tests.integration.child import Child
from tests.integration.discovery.helpers import Written
from tests.support import Truth
from zkdiscovery.session.transport.servers import ATTEMPT
from zkdiscovery.testing import ZookeeperServer, zookeeper_server
from zkdiscovery.testing.servers.shared import SharedServers

CLIENTS = 500
PROCESSES = 4  # of 125 clients each: a process has one interpreter lock, and two cores have no use for more
INSTANCES = 50
# Seconds until a client gives up a silent session, and a read. A busy machine needs more than the usual five seconds
# for the reads of all, and each that is given up is sent again.
SESSION, READ = 30.0, 30.0
PATIENCE = 60.0  # seconds for each step of five hundred clients

HERD = """
import json, sys, threading, time
from collections import Counter
from zkdiscovery import Client, Settings
from zkdiscovery.session.transport.channel import Channel
from zkdiscovery.session.transport.connection import Connection
from zkdiscovery.session.transport.servers import Servers

hosts, namespace, clients, instances = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
counts = Counter()

def count(kind, name, key=lambda message: type(message).__name__):
    method = getattr(kind, name)
    def counting(self, message, *args, **options):
        counts[key(message)] += 1
        return method(self, message, *args, **options)
    setattr(kind, name, counting)

count(Channel, "submit")  # requests
count(Connection, "_submit")  # handshakes, probes and pings
count(Servers, "silent", lambda _: "silences")

class Member:
    def __init__(self):
        settings = Settings(session_timeout=float(sys.argv[5]), operation_timeout=float(sys.argv[6]))
        self.client = Client(hosts, namespace=namespace, settings=settings)
        self.connected = self.loaded = 0.0
        self.view = self.client.discover("payments", balancer="round_robin")
        self.client.slot.current().session.listen(self.note)
        feed = self.view._feed
        feed.reserve()
        feed.join(self)

    def note(self, change):
        if change.state == "CONNECTED":
            self.connected = time.monotonic()

    def follow(self, change):
        if change.before.stale and not change.after.stale:
            self.loaded = time.monotonic()

    def sees(self, names):
        with self.view._changed:
            return self.view._changed.wait_for(
                lambda: not self.view.snapshot.stale and {i.id for i in self.view.snapshot} == names, 50.0
            )

members = [Member() for _ in range(clients)]
for member in members:
    member.view.wait_ready(40.0, at_least=instances)

def epochs():
    return sum([member.client.slot.current().session.epoch for member in members])

def mark():
    global marked
    marked = epochs()
    counts.clear()
    print("marked")

def report(*names):
    right = sum([member.sees(set(names)) for member in members])
    print("report", json.dumps({
        "right": right,
        "sessions lost": epochs() - marked,
        "connected": [member.connected for member in members],
        "loaded": [member.loaded for member in members],
        "requests": counts,
    }))

print("ready")
"""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[ZookeeperServer]:
    """A server that grants long sessions, and may be killed."""
    source, config = request.config.getoption("--zkdiscovery-source"), {"maxSessionTimeout": str(int(SESSION * 1000))}
    with zookeeper_server(source=source, config=config) as server:
        if isinstance(server._source, SharedServers):
            pytest.skip("the shared servers can't be stopped")
        yield server


@pytest.mark.timeout(300)
def test_five_hundred_clients_come_back(server: ZookeeperServer) -> None:
    """Each costs one watch, one list and one bulk read, however many instances there are, and no session is lost."""
    namespace = f"{server.namespace}/herd"
    with ExitStack() as stack:
        truth = stack.enter_context(Truth(server.hosts))
        payments = Written(truth, namespace)
        names = [f"i{number:02}" for number in range(INSTANCES)]
        payments.add(*names)
        arguments = [str(each) for each in (server.hosts, namespace, CLIENTS // PROCESSES, INSTANCES, SESSION, READ)]
        herds = [stack.enter_context(Child(HERD, *arguments)) for _ in range(PROCESSES)]
        for herd in herds:
            herd.wait_line("ready", timeout=PATIENCE)
        for herd in herds:
            herd.say("mark()")
            herd.wait_line("marked", timeout=PATIENCE)
        down = time.monotonic()
        server.kill()
        server.restart()
        up = time.monotonic()
        truth.session.wait_connected(PATIENCE)
        payments.remove(names.pop())
        payments.add("new")
        for herd in herds:
            herd.say(f"report(*{[*names, 'new']!r})")
        reports: list[dict[str, Any]] = [json.loads(herd.wait_line("report", timeout=PATIENCE)) for herd in herds]
        received, took = packets(server), time.monotonic() - down
        for herd in herds:  # closed in order they would cost more time than all the rest
            herd.kill()
    requests: Counter[str] = Counter()
    for report in reports:
        requests.update(report["requests"])
    assert sum(report["right"] for report in reports) == CLIENTS
    assert sum(report["sessions lost"] for report in reports) == 0
    sent = requests.total() - (silences := requests.pop("silences", 0))
    # A server that is not ready may break a few connections, which then cost as much again.
    watches = requests.pop("SetWatches")
    assert CLIENTS <= watches <= 1.1 * CLIENTS
    assert CLIENTS <= requests.pop("GetChildren") <= 1.1 * CLIENTS
    reads = requests.pop("MultiRead")
    assert CLIENTS <= reads <= 3.3 * CLIENTS, "the load, and the two changes, read with it or one by one"
    # A bulk read that was on its way when a connection broke may have been the cause: its nodes' sizes are read first.
    sizes = requests.pop("Exists", 0)
    assert sizes <= (watches - CLIENTS) * INSTANCES
    # A probe follows a handshake that was answered. An attempt that meets silence lasts for its whole limit.
    assert CLIENTS <= requests.pop("Echo") <= requests.pop("Connect")
    assert silences <= CLIENTS * took / (ATTEMPT * SESSION)
    assert requests.pop("Ping", 0) <= (1 + took / (SESSION / 3)) * CLIENTS
    assert not requests
    # The handshake and the probe of the server's age are two more each; then pings, one in a third of the timeout, and
    # attempts that met a server which was not ready.
    assert received <= reads + sizes + (4.4 + 1 + took / (SESSION / 3)) * CLIENTS
    assert received <= sent + CLIENTS, "nothing else was sent, but a ping of each after its report"
    moments = sorted(stamp - up for report in reports for stamp in report["loaded"])
    first, half, last = moments[0], moments[CLIENTS // 2], moments[-1]
    print(
        f"{CLIENTS} clients: {received} packets, {sent - reads - sizes} beside reads,"
        f" {silences} attempts without an answer; connected and loaded again"
        f" {first:.2f} s, half of them {half:.2f} s, all {last:.2f} s after the server"
    )
