"""`config get`, `history`, `diff`, `export` and `readers`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from zkdiscovery.cli.config.options import (
    HIDDEN,
    DocumentName,
    Keys,
    OptionalName,
    Reveal,
    Revision,
    load_keys,
    shown,
    write_changes,
)
from zkdiscovery.cli.context import Cli, paths_of
from zkdiscovery.cli.output import harmless, local_time, write, write_json, write_table
from zkdiscovery.errors import NodeMissing

_KEY = typer.Argument(help="A key, with dots between the levels; the whole document if not given.", show_default=False)
_FORMAT = typer.Option("--format", "-f", help="json; yaml, which needs PyYAML; or toml, which needs tomli-w.")


def get(
    ctx: typer.Context,
    name: OptionalName = None,
    key: Annotated[str | None, _KEY] = None,
    revision: Revision = None,
    reveal: Reveal = False,
    keys: Keys = None,
) -> None:
    """Show a document, or one value of it; without a name, list the documents."""
    cli: Cli = ctx.obj
    if name is None:
        _list_names(cli)
        return
    from zkdiscovery.config import Encrypted  # noqa: PLC0415 - loads all of the SDK
    from zkdiscovery.config.encrypted import reveal_document, stored_document  # noqa: PLC0415
    from zkdiscovery.config.merging import ABSENT, lookup  # noqa: PLC0415

    with cli.connected() as client, cli.working("reading the document"):
        document = client.config_store(name, keys=load_keys(keys) if reveal else None).read(revision, cli.timeout)
    values = document.values
    if reveal:
        values = reveal_document(values)
    elif cli.json:
        values = stored_document(values)
    value = values if key is None else lookup(values, key)
    if value is ABSENT:
        raise NodeMissing(f"revision {document.revision.number} of the document {name!r} has no key {key!r}")
    if cli.json:
        write_json(value)
    elif isinstance(value, dict):
        write_table(("KEY", "VALUE"), [(path, shown(leaf)) for path, leaf in _leaves(value, key or "")])
    else:
        value = HIDDEN if isinstance(value, Encrypted) else value
        write(f"{harmless(value) if isinstance(value, str) else shown(value)}\n")


def _list_names(cli: Cli) -> None:
    with cli.connected() as client:
        with cli.working("reading the names"):
            names = client.config_names(cli.timeout)
        if cli.json:
            write_json(names)
        elif not names:
            cli.say(f"there are no documents in {paths_of(client).documents()}")
        else:
            write_table(("DOCUMENT",), [(found,) for found in names])


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not (isinstance(value, dict) and value):
        yield path, value
        return
    for name, inner in value.items():
        yield from _leaves(inner, f"{path}.{name}" if path else name)


def history(ctx: typer.Context, name: DocumentName) -> None:
    """List the revisions of a document, the newest first."""
    cli: Cli = ctx.obj
    with cli.connected() as client, cli.working("reading the history"):
        revisions = client.config_store(name).history(cli.timeout)
    if cli.json:
        write_json([asdict(revision) for revision in revisions])
    elif not revisions:
        raise NodeMissing(f"there is no document {name!r}; `zkdiscovery config get` lists what is")
    else:
        rows = [
            (
                str(revision.number), local_time(revision.time),
                revision.author if revision.authenticated else f"{revision.author} (claimed)",
                str(revision.size), revision.message,
            )
            for revision in revisions
        ]  # fmt: skip
        write_table(("REVISION", "TIME", "AUTHOR", "BYTES", "MESSAGE"), rows)


def diff(
    ctx: typer.Context,
    name: DocumentName,
    before: Annotated[int, typer.Argument(min=1, help="A revision.", show_default=False)],
    after: Annotated[
        int | None, typer.Argument(min=1, help="Another one; the one in force if not given.", show_default=False)
    ] = None,
    keys: Keys = None,
) -> None:
    """Show the keys that differ between two revisions.

    Two encrypted values can be compared with their keys only. Without them, each that was encrypted anew differs.
    """
    cli: Cli = ctx.obj
    with cli.connected() as client, cli.working("reading both"):
        changes = client.config_store(name, keys=load_keys(keys)).diff(before, after, cli.timeout)
    write_changes(changes, as_json=cli.json)


def export(
    ctx: typer.Context,
    name: DocumentName,
    format: Annotated[str, _FORMAT] = "json",
    revision: Revision = None,
    reveal: Reveal = False,
    keys: Keys = None,
) -> None:
    """Write a document as JSON, YAML or TOML, whatever --output says."""
    cli: Cli = ctx.obj
    with cli.connected() as client, cli.working("reading the document"):
        store = client.config_store(name, keys=load_keys(keys) if reveal else None)
        text = store.export(format, revision, reveal=reveal, timeout=cli.timeout)  # type: ignore[arg-type]  # it checks
    write(text)


def readers(ctx: typer.Context, name: DocumentName) -> None:
    """List who reads a document, which revision each one has, and which one it refuses and why."""
    cli: Cli = ctx.obj
    with cli.connected() as client:
        with cli.working("reading the readers"):
            found = client.config_store(name).readers(cli.timeout)
        if cli.json:
            write_json([asdict(reader) for reader in found])
        elif not found:
            cli.say(f"nobody reads the document {name!r}")
        else:
            rows = [
                (reader.id, reader.config, str(reader.revision), str(reader.rejected or "-"), reader.reason or "")
                for reader in found
            ]
            write_table(("READER", "CONFIG", "REVISION", "REFUSES", "WHY"), rows)
