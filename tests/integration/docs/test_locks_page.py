"""The samples of "Locks", run as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.docs.samples import run

PAGE = "docs/how-to/locks.md"

PRINTED = {
    "pay.py": [
        "paid 100 with a fence: True",
        "free: False",
        "the lock 'invoice-42' was not free within 0.2 s: it is held",
        "held by us: True",
    ],
    "rebuild.py": ["rebuilt the index", "None"],
    "pay_async.py": ["5 turns, in order: True"],
    "index.py": ["readers: 2", "a writer beside them: False", "alone"],
    "gpu.py": [
        "a third one: False",
        "holders: 3",
        (
            "the semaphore 'gpu' has the limit 3, and 2 was given: give the same or none, or change it for all with"
            " set_limit(2)"
        ),
    ],
    "reindex.py": ["asked: 1", "still held: True"],
    "kazoo_names.py": ["free: False"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_sample(folder: Path, name: str) -> None:
    assert run(folder, name).splitlines() == PRINTED[name]
