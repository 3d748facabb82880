"""A service that the tests write themselves, and a server that they may take down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.discovery.helpers import Written
from tests.support import Truth
from zkdiscovery.testing import ZookeeperServer, zookeeper_server
from zkdiscovery.testing.servers.shared import SharedServers


@pytest.fixture
def payments(truth: Truth, namespace: str) -> Written:
    return Written(truth, namespace)


@pytest.fixture(scope="package")
def own_server(request: pytest.FixtureRequest) -> Iterator[ZookeeperServer]:
    """A server that the tests of this folder may stop, restart and wipe."""
    with zookeeper_server(source=request.config.getoption("--zkdiscovery-source")) as server:
        if isinstance(server._source, SharedServers):
            pytest.skip("the shared servers can't be stopped")
        yield server
