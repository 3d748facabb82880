"""`config edit`: a document in the editor of the user. The text is never lost: if it is not stored, its file stays."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import typer

from zkdiscovery.cli.commands import require_program
from zkdiscovery.cli.config.options import (
    Author,
    Check,
    DocumentName,
    Keys,
    Message,
    Model,
    Stage,
    load_keys,
    load_model,
    summary,
    write_changes,
)
from zkdiscovery.cli.context import Cli, paths_of
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.cli.output import write_json
from zkdiscovery.errors import InvalidDocument, NodeMissing


def edit(
    ctx: typer.Context,
    name: DocumentName,
    message: Message = None,
    author: Author = None,
    model: Model = None,
    keys: Keys = None,
    stage: Stage = False,
) -> None:
    """Edit a document in $VISUAL, $EDITOR or vi, and store what was saved as a new revision.

    If somebody else has stored a revision meanwhile, nothing is stored, and the text stays in a file.
    """
    cli: Cli = ctx.obj
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    require_program(cli, command)
    check, keyring = load_model(model), load_keys(keys)
    from zkdiscovery.config.encrypted import open_document  # noqa: PLC0415 - loads all of the SDK
    from zkdiscovery.config.merging import differences  # noqa: PLC0415

    before, base, root = _read(cli, name)
    file = _file(name, before)
    try:
        after = _edited(cli, command, file, lambda document: check(open_document(document, root, keyring)))
        changes = differences(open_document(before, root, keyring), open_document(after, root, keyring))
        number = base
        if changes:
            with cli.connected() as client, cli.working("storing the revision"):
                store = client.config_store(name, author=author, keys=keyring)
                number = store.replace(
                    after, message or summary(changes), expect=base, in_force=not stage, timeout=cli.timeout
                )
    except BaseException:
        cli.say(f"the text is in {file}")
        raise
    file.unlink()
    if cli.json:
        write_json({"document": name, "revision": number})
        return
    write_changes(changes, as_json=False)
    cli.say(f"{name}: revision {number}" + ("" if changes else ", as before"))


def _read(cli: Cli, name: str) -> tuple[dict[str, Any], int, str]:
    """Return the document as it is stored, its revision and its path. No connection stands while the editor is open."""
    from zkdiscovery.config.encrypted import stored_document  # noqa: PLC0415 - loads all of the SDK

    with cli.connected() as client, cli.working("reading the document"):
        root = paths_of(client).document(name)
        try:
            document = client.config_store(name).read(timeout=cli.timeout)
        except NodeMissing:
            return {}, 0, root
    return stored_document(document.values), document.revision.number, root


def _file(name: str, values: dict[str, Any]) -> Path:
    """Write a document into a file that only this user may read."""
    handle, path = tempfile.mkstemp(prefix=f"{name}-", suffix=".json")
    with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - it is open already
        json.dump(values, file, ensure_ascii=False, indent=2)
        file.write("\n")
    return Path(path)


def _edited(cli: Cli, command: list[str], file: Path, check: Check) -> dict[str, Any]:
    """Let the user edit until the text is a document, or until the user gives up."""
    while True:
        code = subprocess.run([*command, str(file)], check=False).returncode  # noqa: S603 - the user's own editor
        if code:
            cli.fail(f"the editor {command[0]!r} ended with {code}, so nothing was stored")
            raise typer.Exit(ExitCode.FAILED)
        try:
            return _parsed(file.read_text("utf-8"), check)
        except InvalidDocument as error:
            if not sys.stdin.isatty():
                raise
            cli.fail(str(error))
            if not typer.confirm("edit it again?", default=True, err=True):
                raise typer.Exit(ExitCode.USAGE) from None


def _parsed(text: str, check: Check) -> dict[str, Any]:
    from zkdiscovery.config.documents import encode_document  # noqa: PLC0415 - loads all of the SDK

    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidDocument(f"the text is no JSON: {error}") from None
    encode_document(document, "the text")
    check(document)
    found: dict[str, Any] = document
    return found
