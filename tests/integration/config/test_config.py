"""Live configurations: layers, sources, changes, refusals, statuses; on threads."""

from __future__ import annotations

import gc
import itertools
import pickle
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from tests.conftest import MakeClient
from tests.integration.config.conftest import wait_config
from tests.support import LIMIT, Recorder, Truth, wait_until
from zkdiscovery import (
    Client,
    ClientClosed,
    ConfigChange,
    ConfigReader,
    ConfigRejection,
    ConfigSource,
    InvalidDocument,
    InvalidName,
    InvalidSettings,
    NotConnected,
)


class Bank(BaseModel):
    url: str = "https://bank"
    timeout: float = Field(1.0, gt=0)


class Shop(BaseModel):
    bank: Bank = Bank()
    names: list[str] = []
    password: SecretStr | None = None


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client(zone="north")


def test_layers(client: Client, make_client: MakeClient) -> None:
    writer = make_client()
    writer.config_store("base").replace({"bank": {"url": "u", "timeout": 2}, "names": ["a"]}, "first")
    writer.config_store("north").replace({"bank": {"timeout": 3}}, "first")
    config = client.config("shop", Shop, layers=["base", "{zone}", "shop"]).wait_ready()
    assert config.value == Shop(bank=Bank(url="u", timeout=3), names=["a"])
    assert config.revisions == {"base": 1, "north": 1, "shop": 0}
    assert (config.stale, config.rejected) == (False, None)
    assert config.source("bank.timeout") == ConfigSource("north", 1)
    assert config.source("bank.url") == ConfigSource("base", 1)
    assert config.source("bank") == ConfigSource("north", 1)
    assert config.source("password") is None
    writer.config_store("shop").replace({"names": ["b"], "password": "secret"}, "first")
    value = wait_config(config, lambda value: value.password is not None)
    assert (value.names, value.password.get_secret_value()) == (["b"], "secret")
    assert config.source("names") == ConfigSource("shop", 1)
    assert "secret" not in repr(config) + repr(config.value)
    assert repr(config) == "<Config 'shop' live>"


def test_other_models(client: Client) -> None:
    @dataclass
    class Point:
        x: int
        y: tuple[int, ...] = ()

    client.config_store("shop").replace({"x": 1, "y": [2, 3]}, "first")
    assert client.config("shop").wait_ready().value == {"x": 1, "y": [2, 3]}
    assert client.config("shop", Point).wait_ready().value == Point(1, (2, 3))
    assert client.config("shop", dict[str, Any]).wait_ready().value == {"x": 1, "y": [2, 3]}
    with pytest.raises(TypeError, match="a model must be a type that pydantic can check"):
        client.config("shop", object())  # type: ignore[call-overload]


def test_changes_and_who_is_told(client: Client, make_client: MakeClient) -> None:
    store = make_client().config_store("shop")
    store.replace({"bank": {"timeout": 1}}, "first")
    config = client.config("shop", Shop).wait_ready()
    told: Recorder[ConfigChange[Shop]] = Recorder()
    with config.on_change(told):
        first = told.wait(lambda items: len(items) == 1)[0]
        assert (first.before, first.after, first.keys) == (None, Shop(), {"bank.timeout"})
        store.replace({"bank": {"timeout": 2}, "names": ["a"]}, "second")
        second = told.wait(lambda items: len(items) == 2)[1]
        assert second.before == Shop()
        assert second.after == Shop(bank=Bank(timeout=2), names=["a"])
        assert second.keys == {"bank.timeout", "names"}
        store.rollback(2, "the same once more")
        wait_until(lambda: config.revisions == {"shop": 3})
        store.replace({"bank": {"timeout": 4}, "names": ["a"]}, "fourth")
        third = told.wait(lambda items: len(items) == 3)[2]
        assert third.keys == {"bank.timeout"}, "nobody is told of a revision that changed nothing"
    store.replace({}, "fifth")
    changes = config.changes(timeout=LIMIT)
    values = [change.after.bank.timeout for change in itertools.islice(changes, 1)]
    wait_config(config, lambda value: value == Shop())
    assert values[0] in {4, 1}
    assert len(told.items) == 3


def test_a_change_that_is_taken_back_before_anybody_looks(client: Client, make_client: MakeClient) -> None:
    store = make_client().config_store("shop")
    store.replace({"names": ["a"]}, "first")
    config = client.config("shop", Shop).wait_ready()
    changes = config.changes(timeout=LIMIT)
    assert next(changes).after.names == ["a"]
    store.replace({"names": ["b"]}, "second")
    wait_config(config, lambda value: value.names == ["b"])
    store.replace({"names": ["a"]}, "third")
    wait_config(config, lambda value: value.names == ["a"])
    store.replace({"names": ["c"]}, "fourth")
    change = next(changes)
    assert (change.before, change.after) == (Shop(names=["a"]), Shop(names=["c"]))


def test_a_revision_that_the_model_refuses(client: Client, make_client: MakeClient) -> None:
    store = make_client().config_store("shop")
    store.replace({"bank": {"timeout": 3}}, "good")
    config = client.config("shop", Shop, id="web-1").wait_ready()
    told: Recorder[ConfigChange[Shop]] = Recorder()
    config.on_change(told)
    store.replace({"bank": {"timeout": -1}, "password": "hush"}, "bad")
    reason = "bank.timeout: Input should be greater than 0"
    wait_until(lambda: config.rejected is not None)
    assert config.rejected == ConfigRejection({"shop": 2}, reason)
    assert (config.value.bank.timeout, config.revisions, config.stale) == (3, {"shop": 1}, False)
    refusing = [ConfigReader("web-1", "shop", 1, 2, reason)]
    wait_until(lambda: store.readers() == refusing)
    store.rollback(1)
    wait_until(lambda: config.revisions == {"shop": 3})
    assert config.rejected is None
    wait_until(lambda: store.readers() == [ConfigReader("web-1", "shop", 3)])
    assert len(told.items) == 1
    config.close()
    wait_until(lambda: store.readers() == [])


def test_what_a_model_raises(client: Client, make_client: MakeClient) -> None:
    class Broken(BaseModel):
        x: int = 0

        @field_validator("x")
        @classmethod
        def check(cls, value: int) -> int:
            return 1 // value

    store = make_client().config_store("shop")
    store.replace({"x": 1}, "good")
    config = client.config("shop", Broken).wait_ready()
    store.replace({"x": 0}, "bad")
    wait_until(lambda: config.rejected is not None)
    assert config.rejected is not None
    assert config.rejected.reason == "the model failed: ZeroDivisionError"
    assert config.value.x == 1


def test_no_value_yet(client: Client, make_client: MakeClient) -> None:
    store = make_client().config_store("shop")
    store.replace({"bank": {"timeout": -1}}, "bad")
    config = client.config("shop", Shop)
    for use in (config.wait_ready, lambda: config.value):
        with pytest.raises(InvalidDocument, match=r"'shop' has no value, because its model refuses it: bank\.timeout"):
            use()
    assert config.revisions == {}
    assert config.source("bank") is None
    store.replace({}, "good")
    assert wait_config(config, bool) == Shop()
    away = make_client("127.0.0.1:1").config("shop", Shop)
    for use in (lambda: away.wait_ready(0.2), lambda: away.value):
        with pytest.raises(NotConnected, match="the configuration 'shop' has no value yet"):
            use()
    assert repr(away) == "<Config 'shop' empty>"


def test_absent_is_not_unreadable(client: Client, truth: Truth, namespace: str) -> None:
    pointer = f"{namespace}/config/documents/shop/pointer"
    config = client.config("shop", Shop).wait_ready()
    assert (config.value, config.revisions) == (Shop(), {"shop": 0})
    client.config_store("shop").replace({"names": ["a"]}, "first")
    wait_config(config, lambda value: value.names == ["a"])
    good = truth.get(pointer)
    assert good is not None
    truth.set(pointer, b"nonsense")
    wait_until(lambda: config.stale)
    assert config.value.names == ["a"]
    truth.set(pointer, good.data)
    wait_until(lambda: not config.stale)
    truth.delete(pointer)
    assert wait_config(config, lambda value: value.names == []) == Shop()
    assert config.revisions == {"shop": 0}


def test_a_pointer_with_a_candidate(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    """A rollout, as a later version may write it: each reader has the candidate or not, by its id."""
    client = make_client()
    store = client.config_store("shop")
    store.replace({"names": ["stable"]}, "stable")
    configs = [client.config("shop", Shop, id=f"web-{number}").wait_ready() for number in range(20)]
    store.replace({"names": ["candidate"]}, "candidate")
    for percent, least, most in ((40, 2, 14), (100, 20, 20), (0, 0, 0)):
        pointer = f'{{"stable":1,"candidate":2,"percent":{percent},"salt":"s","plan":{{"bake":1}},"last":2}}'
        truth.set(f"{namespace}/config/documents/shop/pointer", pointer.encode())
        wait_until(lambda: len({config.revisions["shop"] for config in configs}) == (2 if percent == 40 else 1))  # noqa: B023
        wait_until(lambda: least <= sum(config.value.names == ["candidate"] for config in configs) <= most)  # noqa: B023
    store.replace({"names": ["next"]}, "ends the rollout")
    for config in configs:
        wait_config(config, lambda value: value.names == ["next"])


def test_what_is_no_configuration(client: Client) -> None:
    for layers in ("base", [], ["a", "a"], [1], ["a"] * 17, ["{host}"]):
        with pytest.raises(InvalidSettings):
            client.config("shop", layers=layers)  # type: ignore[arg-type]
    with pytest.raises(InvalidName):
        client.config("shop", layers=["a/b"])
    with pytest.raises(InvalidName):
        client.config("")
    with pytest.raises(InvalidSettings, match="id"):
        client.config("shop", id="")


def test_a_zone_that_the_client_does_not_have(make_client: MakeClient) -> None:
    with pytest.raises(InvalidSettings, match="the client has no zone"):
        make_client().config("shop", layers=["base", "{zone}"])


def test_the_end(client: Client) -> None:
    with client.config("shop", Shop).wait_ready() as config:
        told: Recorder[ConfigChange[Shop]] = Recorder()
        subscription = config.on_change(told)
        told.wait(bool)
    assert subscription.closed
    assert (config.value, config.stale, repr(config)) == (Shop(), True, "<Config 'shop' closed>")
    for use in (lambda: config.on_change(told), lambda: config.wait_ready(1.0)):
        with pytest.raises(ClientClosed, match="was closed, or its client was"):
            use()
    assert [change.after for change in config.changes()] == [Shop()]
    other = client.config("shop", Shop).wait_ready()
    changes = other.changes()
    next(changes)
    client.close()
    assert list(changes) == []
    assert other.stale
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(other)


def test_one_that_nobody_refers_to_is_gone_unless_it_has_subscriptions(client: Client) -> None:
    told: Recorder[ConfigChange[Shop]] = Recorder()
    subscription = client.config("shop", Shop).on_change(told)
    told.wait(bool)
    gone = weakref.ref(client.config("shop", Shop).wait_ready())
    gc.collect()
    assert gone() is None
    store = client.config_store("shop")
    store.replace({"names": ["a"]}, "first")
    told.wait(lambda items: len(items) == 2)
    subscription.close()
    gc.collect()
    store.replace({"names": ["b"]}, "second")
    wait_until(lambda: store.readers() == [])  # what nobody refers to is followed no longer from its next change on
    assert len(told.items) == 2
