"""The sample of "Feature flags", run as a reader would."""

from __future__ import annotations

from pathlib import Path

from tests.integration.docs.samples import run

PAGE = "docs/how-to/feature-flags.md"

PRINTED = {
    "flags.py": [
        "True",
        "10",
        "ann v2",
        "bob v1",
        "the configuration 'flags' has no flag 'unknown'",
        "('on', <Reason.SPLIT: 'SPLIT'>)",
    ]
}


def test_the_sample(folder: Path) -> None:
    assert run(folder, "flags.py").splitlines() == PRINTED["flags.py"]
