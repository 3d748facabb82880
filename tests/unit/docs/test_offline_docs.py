"""The documentation needs no network, and its diagrams show what is described."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from scripts.draw_diagrams import DIRECTORY, draw

ROOT = Path(__file__).parent.parent.parent.parent
DOCS = ROOT / "docs"
REMOTE = re.compile(
    r"""<(script|link|iframe|object|embed)\b
    | \b(src|srcset|data|xlink:href)\s*=\s*["']?(https?:)?//
    | <(image|use)\b[^>]*\bhref\s*=\s*["']?(https?:)?//
    | @import | @font-face
    | url\(\s*["']?(https?:)?//
    | !\[[^]]*\]\(\s*(https?:)?//
    | ^```\s*mermaid""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
DIAGRAMS = sorted(DIRECTORY.glob("*.txt"))


@pytest.mark.parametrize(
    "page", sorted(p for p in DOCS.rglob("*") if p.suffix in {".md", ".svg", ".html", ".css", ".js"})
)
def test_no_page_or_picture_loads_anything_from_elsewhere(page: Path) -> None:
    found = REMOTE.search(page.read_text("utf-8"))
    assert found is None, found


@pytest.mark.parametrize(
    "remote",
    [
        "<script src=x>",
        '<img src="https://example.org/x.png">',
        "<link rel=stylesheet>",
        "![x](https://example.org/x.svg)",
        "text\n```mermaid\ngraph",
        "a { background: url(//example.org/x) }",
        "@import 'x'",
        '<image xlink:href="http://example.org/x"/>',
    ],
)
def test_what_would_be_loaded_is_found(remote: str) -> None:
    assert REMOTE.search(remote)


def test_the_site_loads_no_font_style_or_script_from_elsewhere() -> None:
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert re.search(r"^  font: false$", settings, re.MULTILINE)
    assert "mermaid" not in settings
    assert "://" not in settings


@pytest.mark.parametrize("description", DIAGRAMS, ids=lambda path: path.stem)
def test_each_diagram_is_drawn_from_its_description(description: Path) -> None:
    """Or else run `python scripts/draw_diagrams.py`."""
    assert description.with_suffix(".svg").read_text("utf-8") == draw(description.read_text("utf-8"))
    assert f"architecture/{description.stem}.svg" in (DOCS / "explanation/architecture.md").read_text("utf-8")


def test_the_layers_in_the_diagram_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (checked,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    shown = [line.partition(":")[0] for line in (DIRECTORY / "layers.txt").read_text("utf-8").splitlines()[1:]]
    assert shown == [layer for layer in checked if layer != "__main__"]


@pytest.mark.parametrize(
    "wrong", ["sequence A\na: One\nb: Two\na => b: text", "sequence A\na: One\na -> c: text", "tree A"]
)
def test_a_description_that_cant_be_read_is_an_error(wrong: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        draw(wrong)
