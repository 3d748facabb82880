"""Texts and files of keys. No message has a key in it."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path

import pytest

from zkdiscovery import InvalidSettings, Keyring

KEY = base64.b64encode(bytes(range(32))).decode()  # the same in all processes that collect the tests


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        KEY,
        f"a:{KEY[:-4]}",
        f"a:{KEY}\na:{KEY}",
        f"a b:{KEY}",
        f":{KEY}",
        "a:",
        f"a:{KEY}x",
        f"a: {KEY}",
    ],
)
def test_texts_that_are_no_keys(text: str) -> None:
    with pytest.raises(InvalidSettings, match=r"the text of keys (can't be used|has no key)") as refused:
        Keyring.parse(text)
    assert KEY[:8] not in str(refused.value)


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    text = f"# of 2026\n new:{KEY} \n\nold:{Keyring.new_key('old')[4:]},older:{Keyring.new_key('x')[2:]}\n"
    keys = Keyring.parse(text)
    assert keys.primary == "new"
    assert repr(keys) == "Keyring(new, old, older)"
    name, data = keys.encrypt(b"value", b"place")
    assert (name, keys.decrypt(name, data, b"place", "it")) == ("new", b"value")
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(keys)


def test_the_environment_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS", f"a:{KEY},b:{KEY}")
    assert Keyring.from_environment("KEYS").primary == "a"
    with pytest.raises(InvalidSettings, match="ZKDISCOVERY_CONFIG_KEYS is not set"):
        Keyring.from_environment()
    with pytest.raises(InvalidSettings, match="can't be read: No such file"):
        Keyring.from_file(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(InvalidSettings, match="can't be read: it is no text"):
        Keyring.from_file(tmp_path / "bytes")


@pytest.mark.parametrize("keys", [{}, {"a": b"short"}, {"a b": bytes(32)}])
def test_keys_that_can_not_be_used(keys: dict[str, bytes]) -> None:
    with pytest.raises(InvalidSettings, match=r"no key|32 bytes|the id of a key"):
        Keyring(keys)
