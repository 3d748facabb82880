"""`config set` and `rollback`."""

from __future__ import annotations

import copy
import json
import sys
from typing import Annotated, Any

import typer

from zkdiscovery.cli.config.options import (
    Author,
    DocumentName,
    Expect,
    Keys,
    Message,
    Model,
    Stage,
    load_keys,
    load_model,
    summary,
    write_changes,
)
from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.output import write, write_json
from zkdiscovery.errors import NodeMissing

_PAIRS = typer.Argument(
    metavar="[KEY=VALUE]…",
    help="A key, with dots between the levels, and JSON; what is no JSON is a text.",
    show_default=False,
)
_REMOVE = typer.Option("--remove", metavar="KEY", help="A key to remove; may be repeated.", show_default=False)
_ENCRYPT = typer.Option(
    "--encrypt", metavar="KEY", help="A key whose value is asked for, or read from stdin, and stored encrypted.",
    show_default=False,
)  # fmt: skip


def assign(
    ctx: typer.Context,
    name: DocumentName,
    pairs: Annotated[list[str] | None, _PAIRS] = None,
    remove: Annotated[list[str] | None, _REMOVE] = None,
    encrypt: Annotated[str | None, _ENCRYPT] = None,
    keys: Keys = None,
    stage: Stage = False,
    message: Message = None,
    expect: Expect = None,
    author: Author = None,
    model: Model = None,
) -> None:
    """Store a revision in which some keys have other values."""
    cli: Cli = ctx.obj
    if not pairs and not remove and not encrypt:
        raise typer.BadParameter("give KEY=VALUE, --encrypt KEY, or --remove KEY")
    values = [_parsed(pair) for pair in pairs or ()]
    keyring = load_keys(keys)
    if encrypt:
        values.append((encrypt, _asked(encrypt)))
    check = load_model(model)
    from zkdiscovery.config.merging import differences  # noqa: PLC0415 - loads all of the SDK

    with cli.connected() as client, cli.working("editing the document"):
        store = client.config_store(name, author=author, keys=keyring)
        before, base = {}, 0
        if expect != 0:
            try:
                document = store.read(timeout=cli.timeout)
                before, base = document.values, document.revision.number
            except NodeMissing:
                pass
        after: dict[str, Any] = copy.deepcopy(before)
        for key, value in values:
            _put(after, key, value)
        for key in remove or ():
            _drop(after, key)
        check(after)
        changes = differences(before, after)
        number = base
        if changes:
            why = message or summary(changes)
            number = store.replace(
                after, why, expect=base if expect is None else expect, in_force=not stage, timeout=cli.timeout
            )
    if cli.json:
        write_json({"document": name, "revision": number})
        return
    write_changes(changes, as_json=False)
    cli.say(f"{name}: revision {number}" + ("" if changes else ", as before"))


def reencrypt(ctx: typer.Context, name: DocumentName, keys: Keys = None, author: Author = None) -> None:
    """Store a revision whose encrypted values have the first of the keys."""
    cli: Cli = ctx.obj
    keyring = load_keys(keys)
    with cli.connected() as client, cli.working("encrypting the values"):
        number = client.config_store(name, author=author, keys=keyring).reencrypt(timeout=cli.timeout)
    if cli.json:
        write_json({"document": name, "revision": number})
    else:
        cli.say(f"{name}: revision {number}")


def new_key(name: Annotated[str, typer.Argument(metavar="ID", help="The id of the key.", show_default=False)]) -> None:
    """Write a new key for encrypted values, as a line of a file of keys."""
    from zkdiscovery.config import Keyring  # noqa: PLC0415 - loads all of the SDK

    write(f"{Keyring.new_key(name)}\n")


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


def _asked(key: str) -> Any:
    """Return the value of a key that is to be encrypted. It is never an argument, which others could see."""
    from zkdiscovery.config import Encrypted  # noqa: PLC0415 - loads all of the SDK

    if sys.stdin.isatty():
        return Encrypted(typer.prompt(f"value of {key}", hide_input=True, confirmation_prompt=True, err=True))
    value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise typer.BadParameter(f"stdin is empty; it must have the value of {key}")
    return Encrypted(value)


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
