"""Configurations of a static client: documents in memory, followed at once."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel, Field

from tests.support import Recorder
from zkdiscovery import (
    AsyncClient,
    ConfigChange,
    ConfigReader,
    HoldLost,
    InvalidDocument,
    InvalidName,
    KeyChange,
    NodeChanged,
    NodeMissing,
)
from zkdiscovery.testing import static_client


class Shop(BaseModel):
    timeout: float = Field(1.0, gt=0)


def test_what_a_test_sets() -> None:
    with static_client() as client:
        client.set_config("base", {"timeout": 2})
        config = client.config("shop", Shop, layers=["base", "shop"], id="web-1").wait_ready()
        assert (config.value.timeout, config.revisions, config.stale) == (2, {"base": 1, "shop": 0}, False)
        told: Recorder[ConfigChange[Shop]] = Recorder()
        config.on_change(told)
        client.set_config("shop", {"timeout": 3})
        assert config.value.timeout == 3
        told.wait(lambda items: bool(items) and items[-1].after.timeout == 3)
        client.set_config("shop", {"timeout": -1})
        assert config.value.timeout == 3
        reason = "timeout: Input should be greater than 0"
        assert client.config_store("shop").readers() == [ConfigReader("web-1", "shop", 1, 2, reason)]
        assert client.config("shop").value == {"timeout": -1}
        with pytest.raises(InvalidName):
            client.set_config("a/b", {})
        with pytest.raises(InvalidDocument):
            client.set_config("shop", {"a": object()})
    assert config.stale
    assert config.value.timeout == 3


def test_stores() -> None:
    with static_client() as client:
        store = client.config_store("shop", author="ann")
        with pytest.raises(NodeMissing):
            store.read()
        with store.edit("first") as draft:
            draft["a"] = 1
        assert store.replace({"a": 2}, "second", expect=1) == 2
        assert store.rollback(1) == 3
        assert [(found.number, found.author, found.restores) for found in store.history()] == [
            (3, "ann", 1), (2, "ann", None), (1, "ann", None),
        ]  # fmt: skip
        assert store.diff(2) == [KeyChange("a", 2, 1)]
        with pytest.raises(NodeChanged):
            store.replace({}, "no", expect=1)
        with pytest.raises(NodeMissing, match="no revision 9"):
            store.read(9)
        with pytest.raises(NodeChanged), client.config_edit(["base", "shop"], "no") as drafts:
            drafts["base"]["b"] = drafts["shop"]["b"] = 1
            store.replace({}, "faster")
        assert client.config_names() == ["shop"]
        hold = client.lock("shop").acquire()
        store.replace({}, "held", guard=hold)
        client.lose_lock("shop")
        with pytest.raises(HoldLost):
            store.replace({}, "no", guard=hold)


def test_on_a_loop() -> None:
    async def follow() -> None:
        client = static_client()
        async with AsyncClient.of(client) as both:
            config = await both.config("shop", Shop).wait_ready()
            async with both.config_store("shop").edit("slow bank") as draft:
                draft["timeout"] = 3
            assert config.value.timeout == 3

    asyncio.run(follow())
