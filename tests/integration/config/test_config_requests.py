"""What a change costs a reader: two requests, one for each changed piece, and one write of its status."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.config.conftest import requests, wait_config
from tests.support import LIMIT, wait_until
from zkdiscovery import Client, Config


@pytest.fixture
def writer(make_client: MakeClient) -> Client:
    return make_client().wait_connected()


def settle(writer: Client, config: Config[Any], document: str) -> None:
    """Wait until the status says what is in force."""
    store = writer.config_store(document)
    wait_until(lambda: [reader.revision for reader in store.readers(LIMIT)] == [config.revisions[document]])


def test_a_change_of_three_layers(writer: Client, make_client: MakeClient) -> None:
    names = ["base", "zone", "shop"]
    with writer.config_edit(names, "first") as drafts:
        for draft in drafts.values():
            draft["number"] = 1
    client = make_client()
    config = client.config("shop", layers=names).wait_ready()
    settle(writer, config, "shop")
    with requests(client) as counts:
        with writer.config_edit(names, "second") as drafts:
            for draft in drafts.values():
                draft["number"] = 2
        wait_config(config, lambda value: value["number"] == 2)
        settle(writer, config, "shop")
        assert config.revisions == dict.fromkeys(names, 2)
        looks = counts.pop(("MultiRead", "readers"), 0)  # the reconciler looks at its own write, and it may do so later
        assert looks <= 1
        # One, unless this machine has stood still between the three events of the transaction.
        assert 1 <= counts.pop(("MultiRead", "pointer")) <= len(names)
        assert counts == {("MultiRead", "revisions"): 1, ("Multi", "readers"): 1}


def test_many_changes_are_read_together(writer: Client, make_client: MakeClient) -> None:
    store = writer.config_store("shop")
    client = make_client()
    config = client.config("shop").wait_ready()
    with requests(client) as counts:
        for number in range(30):
            store.replace({"number": number}, "many")
        wait_config(config, lambda value: value["number"] == 29)
        settle(writer, config, "shop")
        assert counts["MultiRead", "revisions"] <= 30
        assert counts["MultiRead", "pointer"] <= 31
        assert counts["Multi", "readers"] < 30


def test_a_large_document(writer: Client, make_client: MakeClient) -> None:
    chance = random.Random(7)
    values = {f"key{number:06}": chance.randbytes(40).hex() for number in range(52_000)}
    store = writer.config_store("large")
    store.replace(values, "first", timeout=LIMIT)
    client = make_client()
    config = client.config("large").wait_ready(LIMIT)
    assert config.value == values
    settle(writer, config, "large")
    with requests(client) as counts:
        store.replace({**values, "key026000": "another"}, "second", timeout=LIMIT)
        wait_config(config, lambda value: value["key026000"] == "another")
        assert (counts["MultiRead", "pointer"], counts["MultiRead", "revisions"]) == (1, 1), "one event, one read"
        assert 1 <= counts["MultiRead", "pieces"] <= 3
    assert [change.keys for change in config.changes(0.1)][-1] >= {"key026000"}


def test_ten_thousand_keys(writer: Client, make_client: MakeClient) -> None:
    values = {f"group{number % 100}": {f"key{inner}": inner for inner in range(100)} for number in range(100)}
    store = writer.config_store("many")
    store.replace(values, "first")
    config = make_client().config("many").wait_ready(LIMIT)
    values["group7"]["key7"] = -1
    begun = time.monotonic()
    store.replace(values, "second")
    wait_config(config, lambda value: value["group7"]["key7"] == -1)
    assert time.monotonic() - begun < LIMIT / 4
    assert config.source("group7.key7") is not None
