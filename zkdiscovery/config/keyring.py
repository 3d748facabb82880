"""Keys that encrypt values of documents by AES-256-GCM, of the package `cryptography`. The first keyring loads it.

A text of keys has one key a line, or several between commas: `ID:KEY`, where KEY is base64 of 32 bytes. The first one
encrypts; the others decrypt what was encrypted before. Lines that begin with # are comments.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from zkdiscovery.errors import InvalidDocument, InvalidSettings

SIZE = 32  # bytes of a key
NONCE = 12  # bytes

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Keyring:
    """The keys of encrypted values. It never shows them.

    Args:
        keys: 32 bytes by id; the first one encrypts.

    Raises:
        InvalidSettings: no key, an id or a key that can't be used, or `cryptography` is not installed.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._path: Path | None = None
        self._lock = threading.Lock()  # one thread at a time reads the file again
        self._set(keys)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the keys that a text has, such as `2026:<base64>`; see `new_key`. Raises InvalidSettings."""
        return cls(_parsed(text, "the text of keys"))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Return the keys of a file. It is read again when a value has a key that is not known yet.

        Raises:
            InvalidSettings: the file can't be read or used.
        """
        file = Path(path).expanduser().absolute()
        keyring = cls(_read(file))
        keyring._path = file
        return keyring

    @classmethod
    def from_environment(cls, variable: str = "ZKDISCOVERY_CONFIG_KEYS") -> Self:
        """Return the keys of a variable of the environment. Raises InvalidSettings."""
        text = os.environ.get(variable)
        if text is None:
            raise InvalidSettings(f"the variable {variable} is not set; it must have keys, such as ID:KEY")
        return cls(_parsed(text, f"the variable {variable}"))

    @staticmethod
    def new_key(id: str) -> str:
        """Return a new key as `ID:KEY`, for a file or a variable. Raises InvalidSettings."""
        return f"{_checked_id(id)}:{base64.b64encode(secrets.token_bytes(SIZE)).decode()}"

    @property
    def primary(self) -> str:
        """The id of the key that encrypts."""
        return next(iter(self._keys))

    def encrypt(self, value: bytes, context: bytes) -> tuple[str, bytes]:
        """Return the id of the key, and the value encrypted for a context, without which nobody decrypts it."""
        primary, nonce = self.primary, secrets.token_bytes(NONCE)
        return primary, nonce + self._keys[primary].encrypt(nonce, value, context)

    def decrypt(self, id: str, data: bytes, context: bytes, title: str) -> bytes:
        """Return a value. Never raises what has the value in it.

        Raises:
            InvalidDocument: the key is not known, or the data were not encrypted with it for this context.
        """
        if id not in self._keys:
            self._load_again()
        try:
            key = self._keys[id]
        except KeyError:
            raise InvalidDocument(
                f"{title} is encrypted with the key {id!r}, which is none of {', '.join(self._keys)}"
            ) from None
        try:
            return bytes(key.decrypt(data[:NONCE], data[NONCE:], context))
        except self._refusals:
            raise InvalidDocument(
                f"{title} can't be decrypted: it was changed, or encrypted for another key or document"
            ) from None

    def _load_again(self) -> None:
        if self._path is not None:
            with self._lock:
                try:
                    self._set(_read(self._path))
                except InvalidSettings as error:
                    raise InvalidDocument(str(error)) from None

    def _set(self, keys: Mapping[str, bytes]) -> None:
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
        except ImportError:
            raise InvalidSettings(
                "encrypted values need the package cryptography: pip install 'zkdiscovery[encryption]'"
            ) from None
        if not keys:
            raise InvalidSettings("there is no key; Keyring.new_key(id) makes one")
        for name, key in keys.items():
            if len(key) != SIZE:
                raise InvalidSettings(f"the key {_checked_id(name)!r} must have {SIZE} bytes")
        self._refusals = (InvalidTag, ValueError)  # the latter of data without a nonce
        self._keys = {_checked_id(name): AESGCM(key) for name, key in keys.items()}

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"

    def __reduce__(self) -> str:
        raise TypeError("keys can't be pickled; read them in the other process")


def check_keys(keys: Keyring | None) -> Keyring | None:
    """Return keys. Raises InvalidSettings."""
    if keys is not None and not isinstance(keys, Keyring):
        raise InvalidSettings(f"keys must be a Keyring: got {type(keys).__name__}")
    return keys


def _checked_id(id: str) -> str:
    if not _ID.fullmatch(id):
        raise InvalidSettings(f"the id of a key has 1 to 64 letters, digits, '.', '_' or '-': got {id!r:.80}")
    return id


def _read(path: Path) -> dict[str, bytes]:
    try:
        return _parsed(path.read_text("utf-8"), f"the file of keys {path}")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidSettings(f"the file of keys {path} can't be read: {why}") from None


def _parsed(text: str, title: str) -> dict[str, bytes]:
    """Return keys by id. No message has a part of the text, which may be a key."""
    keys: dict[str, bytes] = {}
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for number, entry in enumerate(filter(None, (part.strip() for line in lines for part in line.split(","))), 1):
        name, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not _ID.fullmatch(name) or len(key) != SIZE or name in keys:
            raise InvalidSettings(
                f"{title} can't be used: key number {number} must be ID:KEY, with an id of its own, where KEY is base64"
                f" of {SIZE} bytes; Keyring.new_key(id) makes one"
            )
        keys[name] = key
    if not keys:
        raise InvalidSettings(f"{title} has no key; Keyring.new_key(id) makes one")
    return keys
