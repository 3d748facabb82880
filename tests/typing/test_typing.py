"""The public names as a user's type checker sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


HERE = Path(__file__).parent


@pytest.mark.timeout(180)  # without a cache, all that is imported is read
@pytest.mark.parametrize("names", ["public_api", "async_api"])
def test_the_public_api_has_the_types_that_it_promises(names: str) -> None:
    run = check(
        "mypy",
        "--strict", "--config-file=", "--python-version=3.11", "--show-error-codes", "--no-error-summary",
        "--follow-imports=silent",  # what is wrong within the package is for `make typecheck`
        f"--cache-dir={ROOT / '.mypy_cache' / names}",
        str(HERE / f"{names}.py"),
    )  # fmt: skip
    assert run.stdout + run.stderr == ""
    assert run.returncode == 0


@pytest.mark.timeout(180)
def test_pyright_takes_the_async_names() -> None:
    if (found := check("pyright", "--version")).returncode:
        pytest.skip(f"pyright's program can't be had from npm: {found.stderr[-300:]}")
    run = check("pyright", "--pythonpath", sys.executable, str(HERE / "async_api.py"))
    assert run.returncode == 0, run.stdout


def check(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a type checker."""
    return subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=ROOT, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
