"""A document as environment variables: `{"bank": {"timeout": 3}}` is `BANK_TIMEOUT=3`."""

from __future__ import annotations

import json
import re
from typing import Any

from zkdiscovery.config.documents import Document
from zkdiscovery.config.merging import differences

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHER = re.compile(r"[^A-Z0-9_]")

# Systems limit what a program can be started with. Linux: 128 KiB for one variable, and usually 2 MiB for all.
_LARGEST = 128 * 1024 - 1  # bytes of a name, "=" and a value
_LARGEST_ALL = 512 * 1024


def is_name(name: str) -> bool:
    """True if a variable may have this name."""
    return _NAME.fullmatch(name) is not None


def variables_of(document: Document, prefix: str = "") -> dict[str, str]:
    """Return the variables.

    A name is the prefix and the key, in capitals and with `_` in place of what no name may have. A text is the value
    itself; a list, a number and a truth value are JSON. None is no variable.

    Raises:
        ValueError: the document can't be an environment. The message has no values.
    """
    variables: dict[str, str] = {}
    keys: dict[str, str] = {}
    for leaf in differences({}, document):
        if leaf.after is None or leaf.after == {}:
            continue
        name = prefix + _OTHER.sub("_", leaf.key.upper())
        if not is_name(name):
            raise ValueError(f"{leaf.key!r} is no name for a variable, which begins with a letter")
        if name in keys:
            raise ValueError(f"{keys[name]!r} and {leaf.key!r} are the same variable, {name}")
        keys[name] = leaf.key
        variables[name] = _text(leaf.key, name, leaf.after)
    size = sum(len(name) + len(text.encode()) + 2 for name, text in variables.items())
    if size > _LARGEST_ALL:
        raise ValueError(f"all variables together have {size} bytes, the limit is {_LARGEST_ALL}")
    return variables


def _text(key: str, name: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if "\0" in text:
        raise ValueError(f"{key!r} has a NUL character, which no variable can have")
    size = len(name) + 1 + len(text.encode())
    if size > _LARGEST:
        raise ValueError(f"the variable {name} has {size} bytes, the limit is {_LARGEST}")
    return text
