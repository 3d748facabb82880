"""`config set` and `rollback`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from zkdiscovery.cli.config.options import (
    Author,
    DocumentName,
    Expect,
    Message,
    Model,
    load_model,
    summary,
    write_changes,
)
from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.output import write_json
from zkdiscovery.errors import NodeMissing

_PAIRS = typer.Argument(
    metavar="[KEY=VALUE]…",
    help="A key, with dots between the levels, and JSON; what is no JSON is a text.",
    show_default=False,
)
_REMOVE = typer.Option("--remove", metavar="KEY", help="A key to remove; may be repeated.", show_default=False)


def assign(
    ctx: typer.Context,
    name: DocumentName,
    pairs: Annotated[list[str] | None, _PAIRS] = None,
    remove: Annotated[list[str] | None, _REMOVE] = None,
    message: Message = None,
    expect: Expect = None,
    author: Author = None,
    model: Model = None,
) -> None:
    """Store a revision in which some keys have other values."""
    cli: Cli = ctx.obj
    if not pairs and not remove:
        raise typer.BadParameter("give KEY=VALUE, or --remove KEY")
    values = [_parsed(pair) for pair in pairs or ()]
    check = load_model(model)
    from zkdiscovery.config.documents import encode_document  # noqa: PLC0415 - loads all of the SDK
    from zkdiscovery.config.merging import differences  # noqa: PLC0415

    with cli.connected() as client, cli.working("editing the document"):
        store = client.config_store(name, author=author)
        before, base = {}, 0
        if expect != 0:
            try:
                document = store.read(timeout=cli.timeout)
                before, base = document.values, document.revision.number
            except NodeMissing:
                pass
        after: dict[str, Any] = json.loads(encode_document(before, name))
        for key, value in values:
            _put(after, key, value)
        for key in remove or ():
            _drop(after, key)
        check(after)
        changes = differences(before, after)
        number = base
        if changes:
            why = message or summary(changes)
            number = store.replace(after, why, expect=base if expect is None else expect, timeout=cli.timeout)
    if cli.json:
        write_json({"document": name, "revision": number})
        return
    write_changes(changes, as_json=False)
    cli.say(f"{name}: revision {number}" + ("" if changes else ", as before"))


def rollback(
    ctx: typer.Context,
    name: DocumentName,
    revision: Annotated[int, typer.Argument(min=1, help="The revision to go back to.", show_default=False)],
    message: Message = None,
    expect: Expect = None,
    author: Author = None,
) -> None:
    """Store a new revision with the content of an earlier one."""
    cli: Cli = ctx.obj
    with cli.connected() as client, cli.working("editing the document"):
        store = client.config_store(name, author=author)
        number = store.rollback(revision, message, expect=expect, timeout=cli.timeout)
    if cli.json:
        write_json({"document": name, "revision": number})
    else:
        cli.say(f"{name}: revision {number}, as revision {revision}")


def _parsed(pair: str) -> tuple[str, Any]:
    key, equals, text = pair.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"must be KEY=VALUE: got {pair!r}")
    try:
        return key, json.loads(text)
    except ValueError:
        return key, text


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    *levels, last = key.split(".")
    for level in levels:
        inner = document.setdefault(level, {})
        if not isinstance(inner, dict):
            raise typer.BadParameter(f"{level!r} in {key!r} is no mapping; set it as a whole")
        document = inner
    document[last] = value


def _drop(document: dict[str, Any], key: str) -> None:
    *levels, last = key.split(".")
    at: Any = document
    for level in levels:
        at = at.get(level) if isinstance(at, dict) else None
    if not isinstance(at, dict) or last not in at:
        raise NodeMissing(f"the document has no key {key!r}")
    del at[last]
