"""Documents: JSON objects, as users hand them over and as bytes. The bytes that are read are untrusted."""

from __future__ import annotations

import json
import math
from typing import Any

from zkdiscovery.errors import InvalidDocument, UndecodableNode
from zkdiscovery.validation import shown

Document = dict[str, Any]

LARGEST = 32 * 1024 * 1024  # bytes of a document
DEPTH = 100  # of objects and lists in each other


def encode_document(document: object, title: str) -> bytes:
    """Return a document as bytes of JSON, its keys in the order that they have.

    Args:
        document: a dict of what JSON knows; a tuple counts as a list.
        title: names the document, in messages.

    Raises:
        InvalidDocument: it is no such dict, or too large; the message tells where.
    """
    if not isinstance(document, dict):
        raise InvalidDocument(f"{title} must be a dict: got {type(document).__name__}")
    try:
        _check(document, "", DEPTH)
        data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError as error:  # UnicodeEncodeError, of a lone surrogate, is one
        raise InvalidDocument(f"{title} can't be stored: {error}") from None
    if len(data) > LARGEST:
        raise InvalidDocument(f"{title} can't be stored: it has {len(data)} bytes, the limit is {LARGEST}")
    return data


def decode_document(data: bytes) -> Document:
    """Return a document. Raises UndecodableNode."""
    try:
        return checked(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise UndecodableNode(f"it is no document, which is a JSON object: {error!r:.200}") from None


def checked(value: object) -> Document:
    """Return a document that was read. Raises InvalidDocument."""
    if not isinstance(value, dict):
        raise InvalidDocument(f"a document is an object, and no {type(value).__name__}")
    _check(value, "", DEPTH)
    return value


def _check(value: object, where: str, depth: int) -> None:
    """Refuse what JSON has no word for, and what it would silently change."""
    if isinstance(value, (dict, list, tuple)):
        if not depth:
            raise InvalidDocument(f"{where[:200]!r} is more than {DEPTH} levels deep")
        if isinstance(value, dict):
            for key, inner in value.items():
                _check(inner, _below(where, key), depth - 1)
        else:
            for number, inner in enumerate(value):
                _check(inner, f"{where}[{number}]", depth - 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidDocument(f"{where!r} must be a finite number")
    elif not (value is None or isinstance(value, (str, int))):
        raise InvalidDocument(f"{where!r} must be what JSON knows, and no {type(value).__name__}")


def _below(where: str, key: object) -> str:
    if not isinstance(key, str):
        raise InvalidDocument(f"a key must be a text{f' below {where!r}' if where else ''}: got {shown(key)}")
    return f"{where}.{key}" if where else key
