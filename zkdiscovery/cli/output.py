"""The output of commands: tables and JSON on stdout.

Guarantees
- What comes from ZooKeeper is untrusted: no control character, terminal escape or direction mark of it reaches the
  terminal, and no markup of it is obeyed.
- Into a pipe or a file nothing is coloured, wrapped or cut off; one row is one line.
- JSON is ASCII: whatever reads it needs no encoding.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from zkdiscovery.model import Instance, Status

_STYLES = {
    Status.UP: "green",
    Status.STARTING: "yellow",
    Status.DRAINING: "yellow",
    Status.OUT_OF_SERVICE: "magenta",
    Status.DOWN: "red",
}
_FIELDS = (
    "service", "id", "host", "port", "tls_port", "ports", "status", "weight", "zone", "version", "tags", "metadata",
    "registered_at", "machine", "runtime", "source",
)  # fmt: skip
_WITHOUT_LIMIT = 1_000_000  # columns


def harmless(text: str) -> str:
    """The text with everything that is not printable escaped, e.g. `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def write(text: str) -> None:
    """Write to stdout at once, so that a reader that went away is noticed here (BrokenPipeError)."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_rendered(what: RenderableType) -> None:
    """Write something of rich's: coloured and wrapped on a terminal only."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WITHOUT_LIMIT
    with console.capture() as capture:
        console.print(what)
    write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Write a table. Strings are made harmless; a `Text` must be harmless already."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(harmless(cell)) for cell in row))
    write_rendered(table)


def write_json(document: Any) -> None:
    """Write one JSON document."""
    write(json.dumps(document, indent=2) + "\n")


def write_json_line(document: Any) -> None:
    """Write one line of JSON."""
    write(json.dumps(document) + "\n")


def instance_json(instance: Instance) -> dict[str, Any]:
    """All fields of an instance."""
    override = instance.override
    return {
        **{name: getattr(instance, name) for name in _FIELDS},
        "override": None if override is None else asdict(override),
    }


INSTANCE_COLUMNS = (
    "ID", "ADDRESS", "STATUS", "WEIGHT", "OVERRIDE", "ZONE", "VERSION", "TAGS", "METADATA", "REGISTERED",
)  # fmt: skip


def instance_row(instance: Instance) -> tuple[str | Text, ...]:
    """One row of a table of instances."""
    return (
        instance.id,
        instance.netloc,
        status_text(instance.status),
        f"{instance.weight:g}",
        "-" if instance.override is None else str(instance.override),
        instance.zone or "-",
        instance.version or "-",
        ",".join(instance.tags) or "-",
        pairs(instance.metadata) or "-",
        "-" if instance.registered_at is None else local_time(instance.registered_at),
    )


def status_text(status: Status) -> Text:
    """A status in its colour."""
    return Text(status, style=_STYLES[status])


def pairs(mapping: Mapping[str, object]) -> str:
    """`a=1 b=2`."""
    return " ".join(f"{key}={value}" for key, value in mapping.items())


def local_time(seconds: float) -> str:
    """Seconds since the epoch as date and time of this machine's zone."""
    return datetime.fromtimestamp(seconds, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
