"""The samples of "Configuration", run as a reader would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.docs.samples import run
from tests.support import LIMIT

PAGE = "docs/how-to/configuration.md"

PRINTED = {
    "serve.py": ["timeout: 1.0", "changed: [] timeout: 1.0"],
    "edit.py": [
        "stored: revision 2",
        "the document 'shop' is at revision 2, and not at 1: nothing was stored. Read it again and edit that",
    ],
    "refuse.py": [
        "web-1 runs revision 1 and refuses 2: timeout: Input should be greater than 0",
        "{'checkout': 2} 3.0",
    ],
    "layers.py": [
        "{'base': 1, 'north': 1}",
        "{'bank': {'url': 'https://bank.example', 'timeout': 3.0}} {'base': 1, 'north': 1, 'orders': 0}",
        "ConfigSource(document='north', revision=1)",
        "['bank.timeout', 'bank.url']",
        "['base', 'north']",
    ],
    "look_back.py": [
        "2 ann the bank is slow",
        "bank.timeout: 2.0 -> 3.0",
        "stored: revision 3",
        "3 2.0",
        "{", '  "bank": {', '    "timeout": 3.0', "  }", "}",
    ],
    "stages.py": [
        "{'limit': 10}",
        (
            "the rollout of revision 3 of the document 'search' was stopped, and revision 2 is in force"
            " for all readers: the database is slow"
        ),
    ],
    "password.py": [
        "user='shop' password=SecretStr('**********') open sesame",
        "encrypted anew: revision 2",
        "{'user': 'shop', 'password': Encrypted('**********')} open sesame",
    ],
    "settings.py": ["limit=7 timeout=2.0", "['limit', 'timeout'] 5", "['limit', 'timeout'] 6"],
    "test_shop.py": ["1 passed"],
}  # fmt: skip


def test_a_change_and_back(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "serve.py"], cwd=folder, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            for line in PRINTED["serve.py"]:
                assert serving.stdout.readline().strip() == line
            assert run(folder, "edit.py").splitlines() == PRINTED["edit.py"]
            said = serving.stdout.read().splitlines()
            assert serving.wait(LIMIT) == 0
            assert said[-1] == "changed: ['bank.timeout'] timeout: 3.0"
        finally:
            serving.kill()
    assert run(folder, "look_back.py").splitlines() == PRINTED["look_back.py"]


@pytest.mark.parametrize("name", ["refuse.py", "layers.py", "stages.py", "password.py", "settings.py"])
def test_a_sample(folder: Path, name: str) -> None:
    assert run(folder, name).splitlines() == PRINTED[name]


def test_the_test(folder: Path) -> None:
    assert "1 passed" in run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py")
