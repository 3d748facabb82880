"""Sessions that move from server to server, or flap: nothing is written, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.helpers import assert_ends, assert_stands, entries, in_background, wait_all
from tests.integration.registration.helpers import on_submit, path_of, seen_to, within
from tests.support import LIMIT, Truth, core_of, node_of, wait_state
from zkdiscovery import Client, State
from zkdiscovery.session import Create, Delete, Multi, SetData
from zkdiscovery.testing import FaultProxy, ZookeeperServer

WRITES = (Multi, Create, Delete, SetData)


@pytest.fixture
def proxies(zkdiscovery_server: ZookeeperServer) -> Iterator[tuple[FaultProxy, FaultProxy]]:
    hosts = zkdiscovery_server.hosts.split(",")
    with FaultProxy(hosts[0]) as first, FaultProxy(hosts[-1]) as second:
        yield first, second


def wait_generation(client: Client, generation: int) -> None:
    """Wait for a connection of that number or a later one."""
    session = core_of(client).session
    with session.changed:
        assert session.changed.wait_for(
            lambda: session.generation >= generation and session.state is State.CONNECTED, LIMIT
        )


@pytest.mark.parametrize("flaps", [1, 15], ids=["moved", "flapping"])
def test_a_session_that_moves_between_servers_writes_nothing(
    proxies: tuple[FaultProxy, FaultProxy], make_client: MakeClient, truth: Truth, flaps: int
) -> None:
    """peers.md defect 12: a blip within one session deletes and recreates every node. Defect 8: duplicates.

    Curator: flapping connection. The transaction ids of the nodes are the witness, and what was sent.
    """
    client = make_client(f"{proxies[0].address},{proxies[1].address}", session_timeout=10.0)
    many = client.register_many(entries(50))
    wait_all(many)
    before = {each: truth.get(path_of(each)) for each in many}
    session = core_of(client).session
    written: list[object] = []
    with on_submit(client, lambda request: written.append(request) if isinstance(request, WRITES) else None):
        for _ in range(flaps):
            at = proxies[0] if session.server == proxies[0].address else proxies[1]
            generation = session.generation
            at.refuse()
            wait_generation(client, generation + 1)
            assert session.server != at.address
            at.heal()
            seen_to(client, *many)
    assert written == []
    assert session.epoch == 1
    assert {each: truth.get(path_of(each)) for each in many} == before


def test_a_thousand_changes_while_suspended_block_nobody(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    """kazoo #577: 278 asynchronous calls succeed while it is SUSPENDED, and the next one blocks its caller for good."""
    client = make_client(zkdiscovery_proxy.address, session_timeout=10.0)
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    within(5.0, lambda: [registration.update(version=str(number)) for number in range(1000)])
    many = within(5.0, lambda: [client.register("payments", port, host="10.0.0.1") for port in range(1, 300)])
    zkdiscovery_proxy.heal()
    wait_all([registration, *many])
    node = assert_stands(truth, client, registration)
    assert (registration.instance.version, node.stat.version) == ("999", 1)


def test_what_is_closed_while_suspended_does_not_come_after_it(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    """kazoo.md, ghost operations: what timed out in a queue is executed after the reconnect."""
    client = make_client(zkdiscovery_proxy.address, session_timeout=10.0)
    other = client.register("payments", 8080, id="other").wait_registered(LIMIT)
    seen_to(client, other)
    for fault in (zkdiscovery_proxy.refuse, zkdiscovery_proxy.pause, zkdiscovery_proxy.blackhole):
        fault()
        ghost = client.register("payments", 8081, id="ghost")
        ghost.update(version="2")
        ghost.close(timeout=0.05)
        zkdiscovery_proxy.heal()
        assert node_of(ghost).wait(lambda node: node.settled, LIMIT)
        other.update(version=fault.__name__)
        other.wait_registered(LIMIT)
        assert truth.children(f"{namespace}/services/payments") == ["other"]


def test_a_client_closed_while_suspended_leaves_with_its_session(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    """kazoo.md: stop() while SUSPENDED never closes the session. Nobody can be told, so its time-out does it."""
    client = make_client(zkdiscovery_proxy.address, session_timeout=1.0)
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    within(3.0, lambda: client.close(timeout=0.2))
    assert client.state is State.CLOSED
    zkdiscovery_proxy.heal()
    truth.wait(path_of(registration), lambda node: node is None, timeout=1.0 + 2 * 0.5 + 1.0)  # ticks of 0.5 s


def test_quick_closes_leave_nothing(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    """Curator: TestPersistentNode, quick close."""
    client = make_client()
    threads = []
    for number in range(60):
        registration = client.register("payments", 8080, id=f"n{number % 7}-{number}")
        if number % 3:
            registration.update(version="2")
        threads.append(in_background(registration.close))
    assert_ends(*threads)
    assert truth.children(f"{namespace}/services/payments") == []
