"""The samples of "Bridges", run as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.docs.samples import run

PAGE = "docs/how-to/bridges.md"

PRINTED = {
    "suspects.py": [],
    "from_file.py": ["['10.0.0.7:8080', '10.0.0.8:8080']", "taken from the source: True"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_sample(folder: Path, name: str) -> None:
    assert run(folder, name).splitlines() == PRINTED[name]
