"""The install lines of the pages, in a clone: nothing is published yet."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import LIMIT

CLONE = Path(__file__).parents[3]
PAGES = [CLONE / "README.md", CLONE / "CONTRIBUTING.md", *sorted((CLONE / "docs").rglob("*.md"))]
COMMAND = re.compile(r"pip (install|wheel) ((?:--\S+ )*)('[^']*'|[^\s`]+)")


def commands(page: Path) -> list[tuple[str, str]]:
    """`install` or `wheel`, and what, for each command on a page."""
    return [(verb, what.strip("'")) for verb, _, what in COMMAND.findall(page.read_text())]


def test_every_install_line_is_of_a_clone_and_names_extras_that_exist() -> None:
    found = {(page.name, what) for page in PAGES for _, what in commands(page)}
    assert ("README.md", ".[cli,testing]") in found
    with (CLONE / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"].keys()
    fails = {("README.md", "zkdiscovery")}  # as the page says
    for page, what in found - fails - {("README.md", "zkdiscovery[cli]")}:
        name, _, names = what.rstrip("]").partition("[")
        assert name == ".", f"{page}: pip finds no {what}"
        assert {each for each in names.split(",") if each} <= extras, page


@pytest.mark.timeout(120)
def test_the_install_line_works(tmp_path: Path) -> None:
    """Without the index and the dependencies; what the build needs is in the environment of the clone."""
    assert ("install", ".[cli,testing]") in commands(CLONE / "README.md")
    target = tmp_path / "target"
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "--disable-pip-version-check", "install", ".[cli,testing]", "-q",
            "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target),
        ],
        cwd=CLONE, capture_output=True, text=True, check=False, timeout=5 * LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    code = "import zkdiscovery; print(zkdiscovery.__file__, zkdiscovery.Client())"
    printed = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(target)}, cwd=tmp_path, capture_output=True, text=True,
        check=True, timeout=LIMIT,
    ).stdout  # fmt: skip
    assert Path(printed.split()[0]).is_relative_to(target)
    package = CLONE / "zkdiscovery"
    for path in (*package.rglob("*.py"), package / "py.typed"):
        assert (target / path.relative_to(CLONE)).is_file()
