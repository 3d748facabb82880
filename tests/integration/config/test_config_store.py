"""Documents and their revisions: edits, conflicts, history, rollback; on threads and on a loop."""

from __future__ import annotations

import json
import pickle
import time
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.loops import on_loop
from tests.integration.config.conftest import MakeAsync
from tests.support import Truth, counting
from zkdiscovery import (
    Auth,
    ConfigRevision,
    ConfigStore,
    HoldLost,
    InvalidDocument,
    InvalidName,
    InvalidSettings,
    KeyChange,
    NodeChanged,
    NodeMissing,
    Settings,
    UndecodableNode,
)


@pytest.fixture
def store(make_client: MakeClient) -> ConfigStore:
    return make_client().config_store("shop", author="ann")


@pytest.fixture
def root(namespace: str) -> str:
    """The nodes of the document."""
    return f"{namespace}/config/documents/shop"


def pointer(truth: Truth, root: str) -> dict[str, Any]:
    node = truth.get(f"{root}/pointer")
    assert node is not None
    found: dict[str, Any] = json.loads(node.data)
    return found


def test_edits_are_revisions(store: ConfigStore, truth: Truth, root: str) -> None:
    begun = time.time()
    with store.edit("first") as draft:
        assert (dict(draft), draft.base) == ({}, 0)
        draft["bank"] = {"url": "https://bank", "timeout": 1.0}
    assert draft.revision == 1
    with store.edit("slow bank", expect=1) as draft:
        draft["bank"]["timeout"] = 3
    assert (draft.base, draft.revision) == (1, 2)
    document = store.read()
    assert document.values == {"bank": {"url": "https://bank", "timeout": 3}}
    assert document.revision == store.history()[0]
    assert store.read(1).values == {"bank": {"url": "https://bank", "timeout": 1.0}}
    assert store.diff(1, 2) == store.diff(1) == [KeyChange("bank.timeout", 1.0, 3)]
    newest, oldest = store.history()
    assert (newest.number, newest.message, newest.author, newest.authenticated) == (2, "slow bank", "ann", False)
    assert oldest.number == 1
    assert abs(oldest.time - begun) < 60
    assert pointer(truth, root) == {
        "stable": 2, "candidate": None, "percent": 0, "salt": "", "plan": None, "last": 2,
    }  # fmt: skip


def test_a_block_that_changes_nothing_or_raises_stores_nothing(store: ConfigStore) -> None:
    store.replace({"timeout": 1}, "first")
    with store.edit("nothing") as draft:
        draft["timeout"] = 1
    assert draft.revision == 1
    with pytest.raises(KeyError), store.edit("broken") as draft:
        draft["timeout"] = 2
        draft["missing"]
    with pytest.raises(InvalidDocument, match=r"the document 'shop' can't be stored: 'bank.when' must be what JSON"):  # noqa: SIM117
        with store.edit("no JSON") as draft:
            draft["bank"] = {"when": object()}
    assert [revision.message for revision in store.history()] == ["first"]
    with store.edit("True is not 1") as draft:
        draft["timeout"] = True
    assert store.read().values["timeout"] is True


def test_the_second_of_two_editors_gets_the_conflict(store: ConfigStore, make_client: MakeClient) -> None:
    store.replace({"a": 1}, "first")
    other = make_client().config_store("shop")
    with pytest.raises(NodeChanged, match="is at revision 2, and not at 1: nothing was stored"):  # noqa: SIM117
        with store.edit("slow") as draft:
            draft["a"] = 2
            with other.edit("fast") as theirs:
                theirs["a"] = 3
    assert store.read().values == {"a": 3}
    assert draft == {"a": 2}, "the text is kept"
    for write in (
        lambda: store.replace({}, "no", expect=1),
        lambda: store.rollback(1, expect=1),
        lambda: store.edit("no", expect=1).__enter__(),
        lambda: store.replace({}, "no", expect=0),
    ):
        with pytest.raises(NodeChanged):
            write()
    assert store.replace({"a": 4}, "whatever is there") == 3
    assert make_client().config_store("new").replace({}, "first", expect=0) == 1


def test_a_rollback_is_a_new_revision(store: ConfigStore) -> None:
    for number in (1, 2, 3):
        store.replace({"a": number}, f"number {number}")
    assert store.rollback(1) == 4
    assert store.read().values == {"a": 1}
    revision = store.read().revision
    assert (revision.message, revision.restores) == ("roll back to revision 1", 1)
    assert [found.number for found in store.history()] == [4, 3, 2, 1]


def test_what_is_not_there(store: ConfigStore) -> None:
    assert store.history() == []
    for read in (store.read, store.export, lambda: store.rollback(1), lambda: store.read(7)):
        with pytest.raises(NodeMissing):
            read()
    store.replace({}, "empty")
    with pytest.raises(NodeMissing, match="has no revision 7"):
        store.diff(1, 7)
    assert store.read().values == {}


def test_several_documents_in_one_transaction(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    with client.config_edit(["base", "shop"], "both") as drafts:
        drafts["base"]["a"], drafts["shop"]["b"] = 1, 2
    assert client.config_names() == ["base", "shop"]
    stats = [
        node.stat for name in ("base", "shop") if (node := truth.get(f"{namespace}/config/documents/{name}/pointer"))
    ]
    assert len({stat.czxid for stat in stats}) == 1
    with (
        pytest.raises(NodeChanged, match="'shop' is at revision 2"),
        client.config_edit(["base", "shop"], "no") as drafts,
    ):
        drafts["base"]["a"], drafts["shop"]["b"] = 3, 4
        client.config_store("shop").replace({"b": 5}, "faster")
    assert client.config_store("base").read().values == {"a": 1}
    with client.config_edit(["base", "shop"], "only one") as drafts:
        drafts["shop"]["b"] = 6
    assert [drafts[name].revision for name in ("base", "shop")] == [1, 3]
    with client.config_edit(["shop", "new"], "nothing") as drafts:
        pass
    assert client.config_names() == ["base", "shop"], "what was not touched is not created"
    for names in ([], ["a", "a"], "shop"):
        with pytest.raises(InvalidSettings, match="must be a list of different names"):
            client.config_edit(names, "no").__enter__()


def test_a_guard(make_client: MakeClient) -> None:
    client = make_client()
    store = client.config_store("shop")
    hold = client.lock("shop").acquire()
    with store.edit("as the holder", guard=hold) as draft:
        draft["a"] = 1
    hold.release()
    with pytest.raises(HoldLost), store.edit("too late", guard=hold) as draft:
        draft["a"] = 2
    with pytest.raises(HoldLost):
        store.replace({}, "too late", guard=hold)
    with pytest.raises(TypeError, match="guard must be a hold"):
        store.rollback(1, guard="me")  # type: ignore[arg-type]
    assert store.read().values == {"a": 1}


def test_the_author_is_the_user_of_zookeeper_if_there_is_one(make_client: MakeClient) -> None:
    auth = Auth(username="ann", password="secret")
    store = make_client(settings=Settings(auth=auth)).config_store("shop", author="somebody else")
    store.replace({}, "first")
    assert (store.history()[0].author, store.history()[0].authenticated) == ("digest:ann", True)
    assert "@" in make_client().config_store("shop")._claimed


def test_export(store: ConfigStore) -> None:
    store.replace({"name": "Zoë", "bank": {"timeout": 3}}, "first")
    store.replace({"none": None}, "second")
    assert json.loads(store.export()) == {"none": None}
    assert store.export("json", 1) == '{\n  "name": "Zoë",\n  "bank": {\n    "timeout": 3\n  }\n}\n'
    assert store.export("yaml", 1) == "name: Zoë\nbank:\n  timeout: 3\n"
    with pytest.raises(InvalidSettings, match="must be one of json, yaml, toml"):
        store.export("xml")  # type: ignore[arg-type]


def test_a_format_whose_library_is_not_there(store: ConfigStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tomli_w", None)
    with pytest.raises(InvalidSettings, match="'toml' needs tomli-w: pip install tomli-w"):
        store.export("toml")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"stable": "x"}', b"x" * 20_000], ids=["none", "empty", "text", "large"]
)
def test_what_is_no_pointer(store: ConfigStore, truth: Truth, root: str, data: bytes) -> None:
    store.replace({"a": 1}, "first")
    truth.set(f"{root}/pointer", data)
    for use in (store.read, lambda: store.replace({}, "no")):
        with pytest.raises(UndecodableNode, match=f"{root}/pointer can't be used") as caught:
            use()
        assert caught.value.path == f"{root}/pointer"
    truth.delete(f"{root}/pointer")
    with pytest.raises(NodeMissing):
        store.read()
    assert store.replace({"a": 2}, "again") == 2, "numbers go on after the pointer was deleted"
    assert [revision.number for revision in store.history()] == [2, 1]


def test_a_revision_that_is_gone_or_broken(store: ConfigStore, truth: Truth, root: str) -> None:
    store.replace({"a": 1}, "first")
    truth.set(f"{root}/revisions/1", b"nonsense")
    with pytest.raises(UndecodableNode, match="revisions/1 can't be used"):
        store.read()
    truth.delete(f"{root}/revisions/1")
    with pytest.raises(UndecodableNode, match="revisions/1 is not there"):
        store.edit("no").__enter__()
    assert store.replace({"a": 2}, "mended") == 2


def test_what_is_refused_before_anything_is_sent(store: ConfigStore, make_client: MakeClient) -> None:
    client = make_client().wait_connected()
    with counting(client) as counts:
        mine = client.config_store("shop")
        for message in ("", 7, "x" * 1001):
            with pytest.raises(InvalidSettings, match="message"):
                mine.replace({}, message)  # type: ignore[arg-type]
        with pytest.raises(InvalidSettings, match="a revision"):
            mine.read(0)
        with pytest.raises(InvalidSettings, match="the revision that is expected"):
            mine.replace({}, "why", expect=-1)
        with pytest.raises(InvalidName, match="the name of a document"):
            client.config_store("a/b")
        with pytest.raises(InvalidSettings, match="the author"):
            client.config_store("shop", author="")
        with pytest.raises(InvalidDocument):
            mine.replace([], "why")  # type: ignore[arg-type]
    assert not counts
    assert repr(mine) == "<ConfigStore 'shop'>"
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(mine)


@on_loop
async def test_on_a_loop(make_async: MakeAsync) -> None:
    client = make_async()
    store = client.config_store("shop", author="ann")
    async with store.edit("first") as draft:
        draft["a"] = 1
    assert await store.replace({"a": 2}, "second", expect=1) == 2
    assert await store.rollback(1) == 3
    document = await store.read()
    assert (document.values, document.revision.restores) == ({"a": 1}, 1)
    history: list[ConfigRevision] = await store.history()
    assert [revision.number for revision in history] == [3, 2, 1]
    assert await store.diff(2) == [KeyChange("a", 2, 1)]
    assert json.loads(await store.export()) == {"a": 1}
    async with client.config_edit(["base", "shop"], "both") as drafts:
        drafts["base"]["b"] = drafts["shop"]["b"] = 7
    assert await client.config_names() == ["base", "shop"]
    with pytest.raises(NodeChanged):
        async with store.edit("no", expect=1) as draft:
            raise AssertionError("the block does not begin")
    with pytest.raises(ZeroDivisionError):
        async with store.edit("no") as draft:
            draft["a"] = 1 / 0
    assert draft.base == 4
