"""Documents on top of each other, and what differs between two. Pure functions.

A key in a mapping in a mapping is written with dots: `bank.timeout`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from zkdiscovery.config.documents import Document


class Absent(Enum):
    """Stands for a value that is not there, because None is a value."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key that differs between two documents.

    Attributes:
        key: with dots between the levels.
        before: the value; None if it was added.
        after: the value; None if it was removed.
        added: True if it was not there before.
        removed: True if it is not there any more.
    """

    key: str
    before: Any
    after: Any
    added: bool = False
    removed: bool = False


def merge(documents: Iterable[Document]) -> Document:
    """Return the documents on top of each other: mappings are merged, and of all other values the last one counts."""
    merged: Document = {}
    for document in documents:
        merged = _merged(merged, document)
    return merged


def _merged(below: Document, above: Document) -> Document:
    result = dict(below)
    for name, value in above.items():
        present = result.get(name)
        both = isinstance(value, dict) and isinstance(present, dict)
        result[name] = _merged(present, value) if both else value  # type: ignore[arg-type]  # mypy forgets `both`
    return result


def lookup(document: Document, key: str) -> Any:
    """Return the value of a key, or ABSENT. A name with dots in it is found, too."""
    if key in document:
        return document[key]
    start = 0
    while (dot := key.find(".", start)) >= 0:
        inner = document.get(key[:dot])
        if isinstance(inner, dict) and (found := lookup(inner, key[dot + 1 :])) is not ABSENT:
            return found
        start = dot + 1
    return ABSENT


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[KeyChange]:
    """Return each key that differs, in the order of the documents."""
    return list(_differences(before, after, ""))


def _differences(before: Any, after: Any, key: str) -> Iterator[KeyChange]:
    if before is after:
        return
    old, new = _inside(before, after), _inside(after, before)
    if old is not None and new is not None:
        for name in {**old, **new}:
            inner = f"{key}.{name}" if key else name
            yield from _differences(old.get(name, ABSENT), new.get(name, ABSENT), inner)
    elif not _same(before, after):
        added, removed = before is ABSENT, after is ABSENT
        yield KeyChange(key, None if added else before, None if removed else after, added, removed)


def _inside(value: Any, other: Any) -> Mapping[str, Any] | None:
    """Return the names to compare one by one; None: compare the values as a whole."""
    if isinstance(value, dict) and (isinstance(other, dict) or (other is ABSENT and value)):
        return value
    return {} if value is ABSENT and isinstance(other, dict) and other else None


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON does: 1, 1.0 and True are three values."""
    if type(one) is not type(other) or one != other:
        return False
    return not isinstance(one, list) or _text(one) == _text(other)


def _text(value: Any) -> str:
    return json.dumps(value, default=lambda _: None)  # what is encrypted was compared already
