"""The public names as a user's type checker sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)  # without a cache, all that is imported is read
def test_the_public_api_has_the_types_that_it_promises() -> None:
    run = subprocess.run(
        [
            sys.executable, "-m", "mypy",
            "--strict", "--config-file=", "--python-version=3.11", "--show-error-codes", "--no-error-summary",
            "--follow-imports=silent",  # what is wrong within the package is for `make typecheck`
            f"--cache-dir={ROOT / '.mypy_cache' / 'public_api'}",
            str(Path(__file__).with_name("public_api.py")),
        ],
        cwd=ROOT, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert run.stdout + run.stderr == ""
    assert run.returncode == 0
