"""Without the extra, the command says what to install, and importing its package costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

RUN = """
import sys
sys.modules[{missing!r}] = None
sys.argv = ["zkdiscovery", "services"]
from zkdiscovery.cli import main
main()
"""


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_a_missing_extra_is_one_line(missing: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(missing=missing)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "zkdiscovery: the command needs the extra 'cli': pip install 'zkdiscovery[cli]'\n"


def test_another_missing_module_is_not_blamed_on_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(missing="kazoo")], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "kazoo" in done.stderr
    assert "the extra 'cli'" not in done.stderr


def test_help_needs_no_kazoo() -> None:
    code = "import sys; from zkdiscovery.cli import app; print([m for m in ('kazoo', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert "kazoo" not in done.stdout
