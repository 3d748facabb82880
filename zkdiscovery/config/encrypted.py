"""Encrypted values of documents.

A document stores one as `{"$encrypted": {"key": "2026", "revision": 42, "data": "<base64>"}}`. The place of the value
(the path of the document and the key in it) and the revision that set it are authenticated with it. So a value that
somebody copies to another place is refused, and an edit or a rollback that leaves it where it is may copy it.

Above the stores, such a value is an object of the class `Encrypted`, whose text never shows it.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from zkdiscovery.config.documents import DEPTH, Document, encode_document
from zkdiscovery.config.keyring import Keyring
from zkdiscovery.errors import InvalidDocument, InvalidSettings

MARK = "$encrypted"

_Path = tuple[str | int, ...]  # of a value in its document


class _Place(NamedTuple):
    """Where a value stands.

    Attributes:
        root: path of the document.
        path: of the value in it.
    """

    root: str
    path: _Path

    @property
    def title(self) -> str:
        """Names the value, in messages."""
        return f"{'.'.join(map(str, self.path))!r} of {self.root}"


class _Sealed(NamedTuple):
    """A value as it is stored.

    Attributes:
        key: id of the key.
        revision: that set the value.
        data: encrypted.
    """

    key: str
    revision: int
    data: bytes

    def stored(self) -> Document:
        """Return the part of the document that it is."""
        data = base64.b64encode(self.data).decode()
        return {MARK: {"key": self.key, "revision": self.revision, "data": data}}


class Encrypted:
    """A value of a document that is stored encrypted. Assign it in an edit: `draft["password"] = Encrypted("…")`.

    Its text never shows the value, and it can't be pickled.

    Args:
        value: what JSON knows.

    Attributes:
        revision: the revision that set the value; None: it is not stored yet.
        key: the id of the key that it is encrypted with; None: it is not stored yet.
    """

    __hash__ = None  # type: ignore[assignment]  # two that are equal may be encrypted differently

    def __init__(self, value: Any) -> None:
        if isinstance(value, Encrypted):
            value = value.reveal()
        self._value = copy.deepcopy(value)
        self.revision: int | None = None
        self.key: str | None = None
        self._sealed: _Sealed | None = None
        self._place: _Place | None = None
        self._keys: Keyring | None = None

    @classmethod
    def from_stored(cls, stored: Any, place: _Place, keys: Keyring | None) -> Encrypted:
        """Return the value that a document has. Raises InvalidDocument."""
        try:
            found = stored[MARK]
            data = base64.b64decode(found["data"], validate=True)
            sealed = _Sealed(str(found["key"])[:64], int(found["revision"]), data)
            if len(stored) > 1:
                raise ValueError("there is more beside it")
        except (LookupError, TypeError, ValueError, OverflowError, binascii.Error):
            raise InvalidDocument(f"{place.title} is no encrypted value: {MARK!r} may mark nothing else") from None
        value = cls(None)
        value._sealed, value._place, value._keys = sealed, place, keys
        value.key, value.revision = sealed.key, sealed.revision
        return value

    def reveal(self) -> Any:
        """Return the value.

        Raises:
            InvalidDocument: it can't be decrypted; says why.
        """
        if self._sealed is None or self._place is None:
            return copy.deepcopy(self._value)
        if self._keys is None:
            raise InvalidDocument(f"{self._place.title} is encrypted with the key {self.key!r}: give keys=Keyring(…)")
        sealed, title = self._sealed, self._place.title
        data = self._keys.decrypt(sealed.key, sealed.data, _context(self._place, sealed.revision), title)
        return json.loads(data)

    def seal(self, place: tuple[str, _Path], revision: int, keys: Keyring | None) -> Document:
        """Return what is stored at a place: as it is, if it stands there already.

        Raises:
            InvalidSettings: there is no key to encrypt it with.
            InvalidDocument: it is stored at another place, or no JSON.
        """
        where = _Place(*place)
        if self._sealed is not None:
            if where != self._place:
                raise InvalidDocument(
                    f"{where.title} can't be the encrypted value of another place; set Encrypted(value.reveal())"
                )
            return self._sealed.stored()
        if keys is None:
            raise InvalidSettings(f"{where.title} can't be encrypted without keys=Keyring(…)")
        encode_document({"value": self._value}, f"the encrypted value {where.title}")
        data = json.dumps(self._value, ensure_ascii=False).encode()
        key, encrypted = keys.encrypt(data, _context(where, revision))
        return _Sealed(key, revision, encrypted).stored()

    @property
    def stored(self) -> Document | None:
        """The part of the document that it is; None: it was set in this edit."""
        return None if self._sealed is None else self._sealed.stored()

    def __eq__(self, other: object) -> bool:
        """Compare the values, or what is stored if a key is missing."""
        if not isinstance(other, Encrypted):
            return NotImplemented
        if self._sealed is not None and self._sealed == other._sealed and self._place == other._place:
            return True
        try:
            return type(mine := self.reveal()) is type(theirs := other.reveal()) and bool(mine == theirs)
        except InvalidDocument:
            return False

    def __repr__(self) -> str:
        return "Encrypted('**********')"

    def __deepcopy__(self, memo: object) -> Encrypted:
        return self  # it never changes

    def __copy__(self) -> Encrypted:
        return self

    def __reduce__(self) -> str:
        raise TypeError("an encrypted value can't be pickled")


def open_document(document: Document, root: str, keys: Keyring | None) -> Document:
    """Return a document with `Encrypted` where it stores encrypted values; the document itself if it has none.

    Raises:
        InvalidDocument: a value is marked as encrypted, and is none.
    """
    opened: Document = _opened(document, root, (), keys)
    return opened


def seal_document(document: Document, root: str, revision: int, keys: Keyring | None) -> Document:
    """Return a document as it is stored; the document itself if it has no encrypted values.

    Raises:
        InvalidSettings: there is no key for a new value.
        InvalidDocument: a value was copied from another place, or can't be decrypted with these keys.
    """
    sealed: Document = _sealed_at(document, root, (), revision, keys)
    return sealed


def stored_document(document: Document) -> Document:
    """Return an opened document as it is stored."""
    stored: Document = _replaced(document, lambda value: value.stored)
    return stored


def reveal_document(document: Document) -> Document:
    """Return an opened document with plain values. Raises InvalidDocument."""
    plain: Document = _replaced(document, lambda value: value.reveal())
    return plain


def reencrypt_document(document: Document, keys: Keyring | None) -> Document:
    """Return an opened document in which all values have the first of the keys.

    Raises:
        InvalidDocument: a value can't be decrypted.
        InvalidSettings: there are no keys.
    """
    if keys is None:
        raise InvalidSettings("nothing can be encrypted anew without keys=Keyring(…)")
    primary = keys.primary
    fresh: Document = _replaced(document, lambda value: value if value.key == primary else Encrypted(value.reveal()))
    return fresh


def encoder(
    document: Document, root: str, title: str, keys: Keyring | None
) -> tuple[bytes, Callable[[int], bytes] | None]:
    """Return a document as bytes, and what encrypts its new values for the revision that it becomes, if it has any.

    Raises:
        InvalidDocument, InvalidSettings: it can't be stored.
    """
    data = encode_document(seal_document(document, root, 0, keys), title)
    if not _has_new(document):
        return data, None
    kept = copy.deepcopy(document)
    return data, lambda revision: encode_document(seal_document(kept, root, revision, keys), title)


def _context(place: _Place, revision: int) -> bytes:
    return json.dumps(["zkdiscovery.config", place.root, list(place.path), revision]).encode()


def _opened(value: Any, root: str, path: _Path, keys: Keyring | None) -> Any:
    if isinstance(value, dict):
        if MARK in value:
            return Encrypted.from_stored(value, _Place(root, path), keys)
        opened = {name: _opened(inner, root, (*path, name), keys) for name, inner in value.items()}
        return opened if any(opened[name] is not inner for name, inner in value.items()) else value
    if isinstance(value, list):
        items = [_opened(inner, root, (*path, number), keys) for number, inner in enumerate(value)]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def _sealed_at(value: Any, root: str, path: _Path, revision: int, keys: Keyring | None) -> Any:
    if len(path) > DEPTH:  # it may contain itself; whoever encodes it refuses it
        return value
    if isinstance(value, Encrypted):
        return value.seal((root, path), revision, keys)
    if isinstance(value, dict):
        if MARK in value:  # as text has it
            stored = Encrypted.from_stored(value, _Place(root, path), keys)
            if keys is not None:
                stored.reveal()
            return value
        return {name: _sealed_at(inner, root, (*path, name), revision, keys) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sealed_at(inner, root, (*path, number), revision, keys) for number, inner in enumerate(value)]
    return value


def _replaced(value: Any, replace: Callable[[Encrypted], Any]) -> Any:
    if isinstance(value, Encrypted):
        return replace(value)
    if isinstance(value, dict):
        return {name: _replaced(inner, replace) for name, inner in value.items()}
    return [_replaced(inner, replace) for inner in value] if isinstance(value, list) else value


def _has_new(value: Any) -> bool:
    if isinstance(value, Encrypted):
        return value.stored is None
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return any(_has_new(inner) for inner in inside)
