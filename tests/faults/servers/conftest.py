"""What the tests of servers under load share."""

from __future__ import annotations

import logging
import os

import pytest

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
