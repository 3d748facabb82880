"""The samples of a page, for its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.docs.samples import write_samples
from zkdiscovery.testing import ZookeeperServer


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> Path:
    """A folder with the samples of the test module's `PAGE`, which are those that its `PRINTED` names."""
    page, printed = request.module.PAGE, request.module.PRINTED
    assert write_samples(page, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace) == list(printed)
    return tmp_path
