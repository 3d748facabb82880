"""The samples of "Shards", run as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.docs.samples import run

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


@pytest.mark.parametrize("name", PRINTED)
def test_a_sample(folder: Path, name: str) -> None:
    assert run(folder, name).splitlines() == PRINTED[name]
