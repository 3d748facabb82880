"""What the tests of servers under load share."""

from __future__ import annotations

import logging
import os

import pytest

from tests.support import IN_FULL
from zkdiscovery.testing import ZookeeperServer


@pytest.fixture
def environment(zkdiscovery_server: ZookeeperServer, namespace: str) -> dict[str, str]:
    """The environment of the servers."""
    return {
        **os.environ,
        "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts,
        "ZKDISCOVERY_NAMESPACE": namespace,
        "ZKDISCOVERY_ADVERTISE_HOST": "127.0.0.1",
    }


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave out httpx's line for each request."""
    caplog.set_level(logging.WARNING, logger="httpx")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what `make test-servers` alone runs: each takes half a minute."""
    if not IN_FULL:
        for item in items:
            if item.get_closest_marker("load"):
                item.add_marker(pytest.mark.skip(reason="one more of its kind under load: see make test-servers"))
