"""The samples of "Configuration", run as a reader would, one after the other."""

from __future__ import annotations

from pathlib import Path

from tests.integration.docs.samples import run

PAGE = "docs/how-to/configuration.md"

PRINTED = {
    "edit.py": [
        "stored: revision 2",
        "the document 'shop' is at revision 2, and not at 1: nothing was stored. Read it again and edit that",
    ],
    "look_back.py": [
        "2 ann the bank is slow",
        "bank.timeout: 1.0 -> 3.0",
        "stored: revision 3",
        "3 1.0",
        "{", '  "bank": {', '    "url": "https://bank.example",', '    "timeout": 3.0', "  }", "}",
    ],
    "edit_both.py": ["{'base': 1, 'shop': 4}", "['base', 'shop']", "{}"],
}  # fmt: skip


def test_the_samples(folder: Path) -> None:
    for name, printed in PRINTED.items():
        assert run(folder, name).splitlines() == printed
