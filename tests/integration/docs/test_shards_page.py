"""The samples of "Shards", run as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.docs.samples import run, write_samples
from zkdiscovery.testing import ZookeeperServer

PAGE = "docs/how-to/shards.md"

HELD = "held: [0, 1, 2, 3, 4, 5, 6, 7]"
PRINTED = {
    "consume.py": [HELD, "held: []"],
    "consume_async.py": [HELD, "held: []"],
    "look.py": [
        "8 shards, 1 member",
        "shard 0 is held by the member: True with a fence: True",
        "its load: 8.0",
        "['orders']",
    ],
}


@pytest.fixture
def folder(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> Path:
    assert write_samples(PAGE, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace) == list(PRINTED)
    return tmp_path


@pytest.mark.parametrize("name", PRINTED)
def test_a_sample(folder: Path, name: str) -> None:
    assert run(folder, name).splitlines() == PRINTED[name]
