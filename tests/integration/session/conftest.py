"""Sessions without the client around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.integration.discovery.helpers import Written
from tests.support import LIMIT, Truth
from zkdiscovery.session import Session
from zkdiscovery.settings import load_settings
from zkdiscovery.testing import ZookeeperServer, zookeeper_server
from zkdiscovery.testing.servers.shared import SharedServers

MakeSession = Callable[..., Session]


@pytest.fixture
def make_session(zkdiscovery_server: ZookeeperServer) -> Iterator[MakeSession]:
    """Makes sessions of 4 s, connected unless told otherwise; closes them."""
    with ExitStack() as stack:

        def make(hosts: str | None = None, *, connect: bool = True, **settings: Any) -> Session:
            settings = {"session_timeout": 4.0, **settings}
            session = Session(load_settings(hosts=hosts or zkdiscovery_server.hosts, **settings))
            stack.callback(session.close, 3.0)
            if connect:
                session.start()
                session.wait_connected(LIMIT)
            return session

        yield make


@pytest.fixture(scope="module")
def own_server(request: pytest.FixtureRequest) -> Iterator[ZookeeperServer]:
    """A server that the module's tests may stop, restart and wipe."""
    with zookeeper_server(source=request.config.getoption("--zkdiscovery-source")) as server:
        if isinstance(server._source, SharedServers):
            pytest.skip("the shared servers can't be stopped")
        yield server


@pytest.fixture
def payments(truth: Truth, namespace: str) -> Written:
    """A service that the tests write themselves."""
    return Written(truth, namespace)
