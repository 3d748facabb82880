"""Arguments and options that the commands of `config` share, and what they show."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from zkdiscovery.cli.output import harmless, write_json, write_rendered
from zkdiscovery.cli.values import checked_name

if TYPE_CHECKING:
    from zkdiscovery import KeyChange, Keyring


def checked_document(value: str | None) -> str | None:
    """Return the name of a document, if one is given."""
    return None if value is None else checked_name(value, "the name of a document")


DocumentName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the document.", callback=checked_document, show_default=False)
]
OptionalName = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="Name of the document; all names are listed if none is given.",
        callback=checked_document,
        show_default=False,
    ),
]
Revision = Annotated[
    int | None, typer.Option("--revision", "-r", min=1, help="The revision; the one in force if not given.")
]
Message = Annotated[
    str | None, typer.Option("--message", "-m", help="Why, for the history; what changes if not given.")
]
Expect = Annotated[
    int | None, typer.Option(min=0, help="The revision that this is meant for; 0: there is no such document.")
]
Author = Annotated[
    str | None, typer.Option(help="Who edits, for the history; USER@HOST if not given.", show_default=False)
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:NAME", help="A pydantic model that the document must satisfy by itself.", show_default=False
    ),
]

Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys", dir_okay=False, show_default=False,
        help="A file with the keys of encrypted values; ZKDISCOVERY_CONFIG_KEYS has them if not given.",
    ),
]  # fmt: skip
Reveal = Annotated[bool, typer.Option("--reveal", help="Show encrypted values in plain text.")]

VARIABLE = "ZKDISCOVERY_CONFIG_KEYS"
HIDDEN = "**********"

Stage = Annotated[bool, typer.Option("--stage", help="Store the revision only; `config rollout` puts it in force.")]

Check = Callable[[dict[str, Any]], object]  # raises InvalidDocument


def load_model(model: str | None) -> Check:
    """Return what checks a document by a model; the module may lie in the working directory."""
    if model is None:
        return lambda _: None
    from zkdiscovery.config.model import validator  # noqa: PLC0415 - loads pydantic, which help needs not

    module, _, name = model.partition(":")
    if not module or not name:
        raise typer.BadParameter(f"must be MODULE:NAME, such as shop.settings:Shop: got {model!r}")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` has it
    try:
        return validator(getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, TypeError) as error:
        raise typer.BadParameter(f"{model!r} can't be loaded: {error}") from None


def load_keys(keys: Path | None) -> Keyring | None:
    """Return the keys of a file, or of the environment; None: there are none."""
    from zkdiscovery.config import Keyring  # noqa: PLC0415 - loads all of the SDK

    if keys is not None:
        return Keyring.from_file(keys)
    return Keyring.from_environment(VARIABLE) if VARIABLE in os.environ else None


def summary(changes: Iterable[KeyChange]) -> str:
    """Return a message for the history of a revision that has none."""
    keys = [change.key for change in changes]
    return f"change {', '.join(keys[:5])}{f' and {len(keys) - 5} more' if len(keys) > 5 else ''}"[:1000]


def write_changes(changes: list[KeyChange], *, as_json: bool) -> None:
    """Write what differs: a line for each key, coloured on a terminal."""
    if as_json:
        hidden = [replace(change, before=hide(change.before), after=hide(change.after)) for change in changes]
        write_json([asdict(change) for change in hidden])
        return
    lines = [Text(harmless(line), style) for change in changes for line, style in _lines(change)]
    if lines:
        write_rendered(Text("\n").join(lines))


def _lines(change: KeyChange) -> list[tuple[str, str]]:
    removed = (f"- {change.key}: {shown(change.before)}", "red")
    added = (f"+ {change.key}: {shown(change.after)}", "green")
    return [added] if change.added else [removed] if change.removed else [removed, added]


def shown(value: Any) -> str:
    """Return a value as JSON in one line, without what is encrypted."""
    return json.dumps(value, ensure_ascii=False, default=lambda _: HIDDEN)


def hide(value: Any) -> Any:
    """Return a value as JSON knows it, without what is encrypted."""
    return json.loads(shown(value))
