"""Draw the diagrams of `docs/explanation/architecture.md`: an SVG beside each description in `architecture/*.txt`.

    python scripts/draw_diagrams.py

A description is plain text. Its first line is the kind and the title. Of a `sequence`, lines `key: Heading` declare the
participants, from left to right; a heading may have a second line after `|`. The steps follow:

    one -> other: a message        one --> other: an answer
    one: what it does by itself    == a new section ==

Of `layers`, each line is `package | package: their task`, the highest layer first.

The SVG needs no script, no font and nothing else from elsewhere. It has a background of its own and follows the
reader's colour scheme.
"""

from __future__ import annotations

import re
import sys
import textwrap
from html import escape
from pathlib import Path

DIRECTORY = Path(__file__).parent.parent / "docs" / "explanation" / "architecture"

SIZE = 13  # pixels of a letter's height
LINE = 17  # pixels from line to line
LETTER = 7.2  # pixels of a letter's mean width, of a wide font
COLUMN = 176  # pixels from lifeline to lifeline
MARGIN = 16

STYLE = """
  text { font: 13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2328; text-anchor: middle }
  .title, .head { font-weight: 600 }
  .title { font-size: 15px }
  .left { text-anchor: start }
  .soft { fill: #57606a }
  .panel { fill: #ffffff; stroke: #d0d7de }
  .box { fill: #ddeafb; stroke: #6a8fc0 }
  .note { fill: #fdf3d1; stroke: #c9a93a }
  .life { stroke: #b8c0c8; stroke-dasharray: 2 4 }
  .section { stroke: #b8c0c8 }
  .arrow { stroke: #3b5b8c; stroke-width: 1.5; fill: none }
  .answer { stroke-dasharray: 6 4 }
  .tip { fill: #3b5b8c }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e9ee }
    .soft { fill: #a5adb8 }
    .panel { fill: #1d2129; stroke: #3c434e }
    .box { fill: #263a57; stroke: #5d84b8 }
    .note { fill: #423a1c; stroke: #a68d3a }
    .life, .section { stroke: #5a626d }
    .arrow { stroke: #8db4e8 }
    .tip { fill: #8db4e8 }
  }
"""


class Canvas:
    """Elements of one picture, and how far down they reach."""

    def __init__(self, title: str, width: int) -> None:
        self.title = title
        self.width = width
        self.y = MARGIN + LINE
        self._elements: list[str] = []
        self.text(title, width / 2, "title")

    def add(self, element: str, *, below: bool = False) -> None:
        """Add an element, above or below those that are there."""
        self._elements.insert(0 if below else len(self._elements), f"  {element}")

    def text(self, line: str, x: float, kind: str = "") -> None:
        """One line of text at the present height, which ends with it."""
        self.add(f'<text class="{kind}" x="{x:g}" y="{self.y:g}">{escape(line)}</text>')

    def box(self, kind: str, x: float, y: float, width: float, height: float) -> None:
        """A rounded box, by its upper left corner."""
        self.add(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>')

    def boxed(self, kind: str, x: float, width: float, lines: list[str], styles: list[str]) -> None:
        """Lines in a box around `x`; the height moves below it."""
        self.box(kind, x - width / 2, self.y, width, LINE * len(lines) + 10)
        for line, style in zip(lines, styles, strict=True):
            self.y += LINE
            self.text(line, x, style)
        self.y += 10

    def svg(self) -> str:
        """The whole picture."""
        height = self.y + MARGIN
        panel = f'<rect class="panel" x=".5" y=".5" width="{self.width - 1}" height="{height - 1:g}" rx="8"/>'
        size = f'viewBox="0 0 {self.width} {height:g}" width="{self.width}" height="{height:g}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>',
                f"  <title>{escape(self.title)}</title>",
                f"  <style>{STYLE}  </style>",
                f"  {panel}",
                *self._elements,
                "</svg>\n",
            ]
        )


def wrapped(text: str, width: float) -> list[str]:
    """The text in lines that fit."""
    return textwrap.wrap(text, int(width / LETTER), break_long_words=False) or [""]


def sequence(title: str, lines: list[str]) -> str:
    """Draw participants and their messages, one below the other."""
    places: dict[str, float] = {}
    headings: list[list[str]] = []
    while lines and not re.match(r"\w+ -|==", lines[0]) and (declared := re.match(r"(\w+): (.+)", lines[0])):
        if declared[1] in places:
            break
        places[declared[1]] = MARGIN + COLUMN * (len(places) + 0.5)
        headings.append([part.strip() for part in declared[2].split("|")])
        lines = lines[1:]
    canvas = Canvas(title, round(COLUMN * len(places) + 2 * MARGIN))
    canvas.y += 14
    top = canvas.y
    bottoms = []
    for x, heading in zip(places.values(), headings, strict=True):
        canvas.y = top
        canvas.boxed("box", x, COLUMN - 14, heading, ["head", *["soft"] * (len(heading) - 1)])
        bottoms.append(canvas.y)
    canvas.y = start = max(bottoms)
    for line in lines:
        canvas.y += 12
        if section := re.fullmatch(r"== (.+) ==", line):
            draw_section(canvas, section[1])
        elif message := re.fullmatch(r"(\w+) (-?->) (\w+): (.+)", line):
            draw_message(canvas, places[message[1]], places[message[3]], message[4], answer=message[2] == "-->")
        elif note := re.fullmatch(r"(\w+): (.+)", line):
            text = wrapped(note[2], COLUMN - 26)
            canvas.boxed("note", places[note[1]], COLUMN - 14, text, [""] * len(text))
        else:
            raise ValueError(f"not a step of {title!r}: {line}")
    canvas.y += 10
    for x, bottom in zip(places.values(), bottoms, strict=True):
        canvas.add(f'<path class="life" d="M{x:g} {min(bottom, start):g}V{canvas.y:g}"/>', below=True)
    return canvas.svg()


def draw_section(canvas: Canvas, name: str) -> None:
    """A line across the picture, with its name below."""
    canvas.y += 8
    canvas.add(f'<path class="section" d="M{MARGIN} {canvas.y:g}H{canvas.width - MARGIN}"/>')
    canvas.y += LINE
    canvas.text(name, MARGIN, "head left")


def draw_message(canvas: Canvas, start: float, end: float, label: str, *, answer: bool) -> None:
    """An arrow under its label."""
    for line in wrapped(label, abs(end - start) - 16):
        canvas.y += LINE
        canvas.text(line, (start + end) / 2)
    canvas.y += 7
    tip = end + (9 if end < start else -9)
    kind = "arrow answer" if answer else "arrow"
    canvas.add(f'<path class="{kind}" d="M{start:g} {canvas.y:g}H{tip:g}"/>')
    canvas.add(f'<path class="tip" d="M{end:g} {canvas.y:g}L{tip:g} {canvas.y - 4.5:g}V{canvas.y + 4.5:g}Z"/>')


def layers(title: str, lines: list[str]) -> str:
    """Draw layers one on the other, each with its task."""
    left, right = 320, 420
    canvas = Canvas(title, left + right + 3 * MARGIN)
    canvas.y += 14
    for line in lines:
        names, _, task = line.partition(":")
        packages = [name.strip() for name in names.split("|")]
        described = wrapped(task.strip(), right)
        top, height = canvas.y, max(LINE * len(described), LINE) + 10
        width = (left - 6 * (len(packages) - 1)) / len(packages)
        for number, package in enumerate(packages):
            canvas.box("box", MARGIN + number * (width + 6), top, width, height)
            canvas.y = top + height / 2 + SIZE / 3
            canvas.text(package, MARGIN + number * (width + 6) + width / 2, "head")
        canvas.y = top + (height - LINE * len(described)) / 2 - 4
        for text in described:
            canvas.y += LINE
            canvas.text(text, 2 * MARGIN + left, "left")
        canvas.y = top + height + 6
    return canvas.svg()


def draw(description: str) -> str:
    """The SVG of one description."""
    first, *lines = [line.strip() for line in description.splitlines() if line.strip()]
    kind, _, title = first.partition(" ")
    return {"sequence": sequence, "layers": layers}[kind](title, lines)


def main() -> None:
    """Draw them all."""
    for description in sorted(DIRECTORY.glob("*.txt")):
        description.with_suffix(".svg").write_text(draw(description.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
