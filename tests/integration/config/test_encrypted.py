"""Encrypted values: nobody without a key sees one, and none can be moved to another place."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, field_validator

from tests.conftest import MakeClient
from tests.integration.config.conftest import MakeAsync, make_async, wait_config
from tests.support import LIMIT, Recorder, Truth, wait_until
from zkdiscovery import Client, ConfigChange, Encrypted, InvalidDocument, InvalidSettings, Keyring
from zkdiscovery.testing import ZookeeperServer, zookeeper_server
from zkdiscovery.testing.wire import four_letter_word

__all__ = ["make_async"]

PLAIN = "open-sesame-4711"


class Bank(BaseModel):
    password: SecretStr | None = None
    timeout: float = 1.0


class Shop(BaseModel):
    bank: Bank = Bank()
    tokens: list[SecretStr] = []


@pytest.fixture
def keys() -> Keyring:
    return Keyring.parse(Keyring.new_key("2026"))


def test_a_model_gets_the_value_and_nobody_else(make_client: MakeClient, keys: Keyring) -> None:
    client = make_client()
    store = client.config_store("shop", keys=keys)
    with store.edit("first") as draft:
        draft["bank"] = {"password": Encrypted(PLAIN), "timeout": 2}
        draft["tokens"] = [Encrypted("a"), "b"]
    shop = client.config("shop", Shop, keys=keys).wait_ready().value
    assert shop.bank.password is not None
    assert shop.bank.password.get_secret_value() == PLAIN
    assert [token.get_secret_value() for token in shop.tokens] == ["a", "b"]
    value = client.config("shop", keys=keys).wait_ready().value["bank"]["password"]
    assert (repr(value), str(value), value.revision, value.key) == (repr(Encrypted("")), repr(Encrypted("")), 1, "2026")
    assert value.reveal() == PLAIN
    assert copy.deepcopy(value) is value
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(value)
    assert store.export() == client.config_store("shop").export()
    assert PLAIN not in store.export()
    assert json.loads(store.export(reveal=True))["bank"]["password"] == PLAIN


def test_any_json_may_be_a_value_and_it_is_a_copy(make_client: MakeClient, keys: Keyring) -> None:
    store = make_client().config_store("shop", keys=keys)
    secret = {"user": "ann", "codes": [1, 2.5, None]}
    store.replace({"login": Encrypted(secret)}, "first")
    found = store.read().values["login"]
    found.reveal()["user"] = "bob"
    assert found.reveal() == secret == Encrypted(secret).reveal()
    assert found == Encrypted(secret) != Encrypted({})
    with pytest.raises(InvalidDocument, match="'value' must be what JSON knows"):
        store.replace({"login": Encrypted({1, 2})}, "bad")


def test_without_a_key_it_is_refused_and_told(make_client: MakeClient, keys: Keyring) -> None:
    client = make_client()
    client.config_store("shop", keys=keys).replace({"password": Encrypted(PLAIN)}, "first")
    config = client.config("shop", Shop, id="web-1")
    with pytest.raises(InvalidDocument, match=r"'password' of /.*/shop is encrypted with the key '2026': give keys="):
        config.wait_ready(LIMIT)
    other = client.config("shop", Shop, keys=Keyring.parse(Keyring.new_key("other")))
    with pytest.raises(InvalidDocument, match="the key '2026', which is none of other"):
        other.wait_ready(LIMIT)
    wait_until(lambda: len(client.config_store("shop").readers()) == 2, LIMIT)
    assert all(reader.rejected == 1 and reader.reason for reader in client.config_store("shop").readers())
    with pytest.raises(InvalidSettings, match=r"'password' of .* can't be encrypted without keys="):
        client.config_store("shop").replace({"password": Encrypted("x")}, "no key")


def test_edits_and_rollbacks_leave_it_as_it_is_without_a_key(
    make_client: MakeClient, keys: Keyring, truth: Truth, namespace: str
) -> None:
    client = make_client()
    client.config_store("shop", keys=keys).replace({"password": Encrypted(PLAIN), "limit": 1}, "first")
    store = client.config_store("shop")
    with store.edit("more") as draft:
        draft["limit"] = 2
    with store.edit("nothing"):
        pass
    store.replace({"limit": 3}, "away")
    store.rollback(2)
    assert [revision.number for revision in store.history()] == [4, 3, 2, 1]
    stored = [json.loads(truth.get(f"{namespace}/config/documents/shop/revisions/{n}").data) for n in (1, 2, 4)]
    assert len({json.dumps(each["document"]["password"]) for each in stored}) == 1
    value = client.config("shop", keys=keys).wait_ready().value["password"]
    assert (value.reveal(), value.revision) == (PLAIN, 1)


def test_the_revision_that_sets_it_is_the_one_that_is_stored(make_client: MakeClient, keys: Keyring) -> None:
    """Also if another writer was faster: then it is encrypted again, for the next number."""
    client = make_client()
    store, others = client.config_store("shop", keys=keys), make_client().config_store("shop")
    for number in range(5):
        others.replace({"limit": number}, "other")
        revision = store.replace({"password": Encrypted(PLAIN)}, "set")
        assert store.read().values["password"].revision == revision


def test_a_value_at_another_place_is_refused(
    make_client: MakeClient, keys: Keyring, truth: Truth, namespace: str
) -> None:
    client = make_client()
    store, blind = client.config_store("shop", keys=keys), client.config_store("shop")
    store.replace({"low": Encrypted("1"), "admin": Encrypted("2")}, "first")
    refused = pytest.raises(InvalidDocument, match=r"'admin' of .* can't be the encrypted value of another place")
    with refused, store.edit("move") as draft:
        draft["admin"] = draft["low"]
    raw = json.loads(blind.export())
    with pytest.raises(InvalidDocument, match=r"'admin' of .* can't be decrypted"):
        store.replace({**raw, "admin": raw["low"]}, "copy")
    config = client.config("shop", keys=keys).wait_ready()
    for stored in (raw["low"], altered(raw["admin"], revision=7), altered(raw["admin"], data="AAAA")):
        revision = blind.replace({**raw, "admin": stored}, "another key, revision, or data")
        wait_until(lambda revision=revision: rejected(config) == revision, LIMIT)  # type: ignore[misc]
        assert "can't be decrypted" in config.rejected.reason  # type: ignore[union-attr]
    assert config.value["admin"].reveal() == "2"
    client.config_store("other").replace(raw, "another document")
    with pytest.raises(InvalidDocument, match="can't be decrypted"):
        client.config("other", keys=keys).wait_ready(LIMIT)


def altered(stored: Any, **fields: Any) -> Any:
    return {"$encrypted": {**stored["$encrypted"], **fields}}


def rejected(config: Any) -> int | None:
    return None if config.rejected is None else config.rejected.revisions["shop"]


@pytest.mark.parametrize(
    "stored",
    [None, {}, [], {"key": "k"}, {"key": "k", "revision": "x", "data": ""}, {"key": "k", "revision": 1, "data": "§"}],
)
def test_a_mark_that_marks_nothing_is_refused(make_client: MakeClient, stored: Any) -> None:
    store = make_client().config_store("shop")
    with pytest.raises(InvalidDocument, match=r"'password' of .* is no encrypted value"):
        store.replace({"password": {"$encrypted": stored}}, "bad")


def test_keys_are_replaced_while_readers_run(make_client: MakeClient, tmp_path: Path) -> None:
    file, old = tmp_path / "keys", Keyring.new_key("old")
    file.write_text(f"{old}\n")
    client = make_client()
    store = client.config_store("shop", keys=Keyring.from_file(file))
    store.replace({"password": Encrypted(PLAIN)}, "first")
    config = client.config("shop", keys=Keyring.from_file(file)).wait_ready()
    changes: Recorder[ConfigChange[Any]] = Recorder()
    config.on_change(changes)
    changes.wait(lambda items: len(items) == 1)

    file.write_text(f"# the newest comes first\n{Keyring.new_key('new')}\n{old}\n")
    assert store.reencrypt() == 1, "this store has read the old file"
    assert client.config_store("shop", keys=Keyring.from_file(file)).reencrypt() == 2
    wait_config(config, lambda value: value["password"].key == "new" or config.revisions["shop"] == 2)
    assert config.value["password"].reveal() == PLAIN
    assert client.config_store("shop", keys=Keyring.from_file(file)).reencrypt() == 2
    store.replace({"password": Encrypted("other"), "more": 1}, "a change")
    (change,) = changes.wait(lambda items: len(items) > 1)[1:]
    assert change.keys == {"password", "more"}, "nobody is told of a value that is the same under another key"

    file.write_text(file.read_text().replace(old, ""))
    fresh = client.config("shop", keys=Keyring.from_file(file))
    with pytest.raises(InvalidDocument, match="the key 'old', which is none of new"):
        fresh.wait_ready(LIMIT)


def test_layers_and_both_clients(make_client: MakeClient, make_async: MakeAsync, keys: Keyring) -> None:
    async def main() -> None:
        client = make_async()
        async with client.config_edit(["base", "shop"], "first", keys=keys) as drafts:
            drafts["base"]["bank"] = {"password": Encrypted("base"), "timeout": 2}
            drafts["shop"]["bank"] = {"password": Encrypted("shop")}
        config = await client.config("shop", Shop, layers=["base", "shop"], keys=keys).wait_ready()
        assert config.value.bank.password is not None
        assert config.value.bank.password.get_secret_value() == "shop"
        assert config.value.bank.timeout == 2
        store = client.config_store("shop", keys=keys)
        await store.replace({}, "away")
        async for change in config.changes():
            if change.after.bank.password.get_secret_value() == "base":  # type: ignore[union-attr]
                break
        assert await store.reencrypt() == 2
        assert json.loads(await store.export(reveal=True)) == {}

    asyncio.run(main())


class Failing(BaseModel):
    password: SecretStr

    @field_validator("password")
    @classmethod
    def _refuse(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value().endswith("2"):
            raise ValueError("too weak")
        return value


def test_plaintext_is_nowhere(
    request: pytest.FixtureRequest, keys: Keyring, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in ZooKeeper's data and logs, ours, `repr`, tracebacks and fallback files."""
    source = request.config.getoption("--zkdiscovery-source")
    with zookeeper_server(source=source) as server, Client(server.hosts, namespace="/shop") as client:
        directory = folder_of(server)
        texts: list[str] = []

        def fail(work: Callable[[], object], error: type[Exception]) -> None:
            with pytest.raises(error) as raised:
                work()
            texts.append("".join(traceback.format_exception(raised.value)))

        with caplog.at_level(logging.DEBUG):
            store = client.config_store("shop", keys=keys)
            store.replace({"password": Encrypted(PLAIN + "1")}, "first")
            fallback = tmp_path / "shop.json"
            config = client.config("shop", Failing, keys=keys, fallback=fallback).wait_ready()
            plain = client.config("shop", keys=keys).wait_ready()
            store.replace({"password": Encrypted(PLAIN + "2")}, "refused")
            wait_until(lambda: config.rejected is not None, LIMIT)
            wait_until(lambda: store.readers() and fallback.exists(), LIMIT)
            fail(client.config("shop", Failing, keys=keys).wait_ready, InvalidDocument)
            fail(client.config("shop", Failing).wait_ready, InvalidDocument)
            fail(lambda: store.replace({"password": Encrypted(PLAIN), "x": {1}}, "bad"), InvalidDocument)
            fail(lambda: store.replace({"password": Encrypted({PLAIN})}, "bad"), InvalidDocument)
            fail(lambda: client.config_store("shop").replace({"p": Encrypted(PLAIN)}, "bad"), InvalidSettings)
            objects: list[object] = [store, keys, config, config.value, config.rejected, plain.value, store.read()]
            objects += [store.diff(1, 2), store.readers(), store.history(), Encrypted(PLAIN), store.export()]
            texts += [repr(each) for each in objects] + [str(each) for each in objects]
            texts += [caplog.text, fallback.read_text()]
        assert "too weak" in "".join(texts)
        assert all(PLAIN not in text for text in texts)
        assert config.value.password.get_secret_value() == PLAIN + "1"
        if directory is not None:
            client.close()
            files = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
            assert any(b"$encrypted" in data for data in files), "these are the data"
            for text in (PLAIN.encode(), base64.b64encode(PLAIN.encode())[:16]):
                assert not any(text in data for data in files)


def folder_of(server: ZookeeperServer) -> Path | None:
    """The data and the log of a server, if it is a process of this machine."""
    found = re.search(r"^dataDir=(.*)$", four_letter_word(server.hosts, "conf"), re.MULTILINE)
    assert found is not None
    folder = Path(found[1])
    return next((path for path in (folder, *folder.parents) if (path / "server.log").exists()), None)
