"""The samples of "Barriers and counters", run as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.docs.samples import run

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


@pytest.mark.parametrize("name", PRINTED)
def test_a_sample(folder: Path, name: str) -> None:
    assert run(folder, name).splitlines() == PRINTED[name]
