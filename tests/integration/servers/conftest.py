"""Fixtures for web servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.servers.programs import write_programs
from zkdiscovery.testing import ZookeeperServer


@pytest.fixture
def port(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> int:
    """The port of the programs, which are written into `tmp_path`."""
    return write_programs(tmp_path, zkdiscovery_server.hosts, namespace)
