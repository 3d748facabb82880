"""The samples of "Barriers and counters", run as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.docs.samples import run, write_samples
from zkdiscovery.testing import ZookeeperServer

PAGE = "docs/how-to/barriers-and-counters.md"

PRINTED = {
    "number.py": [
        "numbers: 1 2 12",
        "value: 12",
        "replaced: True False",
        "the counter 'invoices' was not changed, because 9223372036854775808 is beyond 64 bits",
    ],
    "guarded.py": ["in stock: 20", "refused: released", "in stock: 20"],
    "number_async.py": ["each another one: [3, 4, 5]"],
    "load.py": ["loaded by all when each one goes on: [3, 3, 3]"],
}


@pytest.fixture
def folder(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> Path:
    assert write_samples(PAGE, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace) == list(PRINTED)
    return tmp_path


@pytest.mark.parametrize("name", PRINTED)
def test_a_sample(folder: Path, name: str) -> None:
    assert run(folder, name).splitlines() == PRINTED[name]
