"""Servers that have less data than was seen: lagging or wiped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.session.conftest import MakeSession
from tests.integration.session.helpers import expire, heard
from tests.support import LIMIT, Truth
from zkdiscovery.session import State
from zkdiscovery.testing import FaultProxy, ZookeeperServer, zookeeper_server

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
