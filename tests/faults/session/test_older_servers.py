"""Servers that have less data than was seen: lagging or wiped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.session.conftest import MakeSession
from tests.integration.session.helpers import Names, SilentServers, expire, heard
from tests.support import LIMIT, Truth, wait_until
from zkdiscovery.session import State
from zkdiscovery.testing import FaultProxy, ZookeeperServer, zookeeper_server
from zkdiscovery.testing.wire import split_host_port

TIMEOUT = 1.0  # seconds


@pytest.fixture(scope="module")
def older_server(request: pytest.FixtureRequest) -> Iterator[ZookeeperServer]:
    """As a member of an ensemble that lags far behind: it serves, and has hardly any data."""
    with zookeeper_server(source=request.config.getoption("--zkdiscovery-source")) as server:
        yield server


def test_one_old_server_of_three_is_no_loss_of_data(
    make_session: MakeSession,
    zkdiscovery_server: ZookeeperServer,
    older_server: ZookeeperServer,
    truth: Truth,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was committed stands on more than half of the servers: while two of three can't be asked, it may be there.

    A follower that is cut off from its leader serves for `syncLimit` ticks, which may be longer than two timeouts.
    """
    truth.create(f"{namespace}/seen")
    with ExitStack() as stack:
        one, two = (stack.enter_context(FaultProxy(zkdiscovery_server.hosts)) for _ in range(2))
        old = stack.enter_context(FaultProxy(older_server.hosts))
        old.refuse()
        session = make_session(f"{one.address},{two.address},{old.address}", session_timeout=TIMEOUT)
        seen = session.highest_zxid
        changes = heard(session)
        for proxy in (one, two):
            proxy.refuse()
        changes.wait(bool)
        expire(session, zkdiscovery_server)
        old.heal()
        over = threading.Event()
        session.listen(lambda change: over.set() if change.state is State.CONNECTED else None)
        assert not over.wait(3.5 * TIMEOUT), "it serves older state than was seen"
        assert "data is lost" not in caplog.text
        for proxy in (one, two):
            proxy.heal()
        changes.wait(lambda seen: seen[-1].state is State.CONNECTED, LIMIT)
        assert session.highest_zxid >= seen


def test_an_old_server_behind_one_of_several_addresses_of_a_name_is_no_loss_of_data(
    make_session: MakeSession,
    zkdiscovery_proxy: FaultProxy,
    zkdiscovery_server: ZookeeperServer,
    older_server: ZookeeperServer,
    truth: Truth,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A name counts as many servers as it has addresses, and two of three say nothing."""
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    names.found["zk.test"] = ["127.0.0.1"]
    port = int(zkdiscovery_proxy.address.rpartition(":")[2])
    truth.create(f"{namespace}/seen")

    def lead_to(server: ZookeeperServer) -> None:
        relay = zkdiscovery_proxy._relay
        relay.call(lambda: setattr(relay.traffic, "target", split_host_port(server.hosts.split(",")[0])))

    session = make_session(f"zk.test:{port}", session_timeout=TIMEOUT, connect_timeout=0.2)
    changes = heard(session)
    names.found["zk.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    with SilentServers(names.found["zk.test"][1:], port):
        zkdiscovery_proxy.refuse()
        changes.wait(bool)
        expire(session, zkdiscovery_server)
        wait_until(lambda: len(session.resolver.addresses()) == 3)
        lead_to(older_server)
        zkdiscovery_proxy.heal()
        over = threading.Event()
        session.listen(lambda change: over.set() if change.state is State.CONNECTED else None)
        assert not over.wait(4.0 * TIMEOUT), "it serves older state than was seen"
        assert "data is lost" not in caplog.text
        lead_to(zkdiscovery_server)
        assert over.wait(LIMIT)
    names.wait_idle()
    assert {thread for _, thread in names.asked.items} == {"zkdiscovery-resolve"}
