"""Readers beside a writer while connections break; a start without ZooKeeper."""

from __future__ import annotations

import json
import logging
import random
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.conftest import MakeClient
from tests.integration.config.conftest import wait_config
from tests.support import IN_FULL, LIMIT, wait_until
from zkdiscovery import Config, ConfigChange, NotConnected
from zkdiscovery.testing import FaultProxy

NAMES = ["base", "zone", "shop"]
READERS = 30 if IN_FULL else 10
EDITS = 500 if IN_FULL else 40


class Shop(BaseModel):
    timeout: float = 1.0


class Witness:
    """Follows a configuration, and keeps what must not be.

    Each edit writes its number into some keys of all layers, so a value whose layers have different numbers is a mix.
    """

    def __init__(self, config: Config[dict[str, Any]]) -> None:
        self.config = config
        self.wrong: list[str] = []
        self.seen = 0
        config.on_change(self.look)

    def look(self, change: ConfigChange[dict[str, Any]]) -> None:
        numbers = {change.after.get(name, 0) for name in NAMES}
        if len(numbers) > 1:
            self.wrong.append(f"a mix: {numbers}")
        number = max(numbers)
        if number < self.seen:
            self.wrong.append(f"back from {self.seen} to {number}")
        self.seen = number
        large = change.after.get("text")
        if large is not None and large != large[:1] * len(large):
            self.wrong.append("a mix of pieces")


@pytest.mark.timeout(120)
def test_nobody_sees_a_mix_or_goes_back(make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    writer = make_client(zkdiscovery_proxy.address)
    witnesses = [
        Witness(make_client(zkdiscovery_proxy.address).config("all", layers=NAMES, id=f"web-{number}"))
        for number in range(READERS)
    ]
    over = threading.Event()
    chance = random.Random(7)

    def disturb() -> None:
        while not over.wait(chance.uniform(0.2, 0.6)):
            zkdiscovery_proxy.drop()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for number in range(1, EDITS + 1):
            with writer.config_edit(NAMES, f"number {number}", timeout=LIMIT) as drafts:
                for name, draft in drafts.items():
                    draft[name] = number
                if number % 10 == 0:
                    drafts["shop"]["text"] = chr(ord("a") + number % 26) * 60_000
    finally:
        over.set()
        disturber.join()
    for witness in witnesses:
        wait_config(witness.config, lambda value: value.get("base") == EDITS)
        assert witness.config.revisions == dict.fromkeys(NAMES, EDITS)
    wait_until(lambda: all(witness.seen == EDITS for witness in witnesses))
    assert [witness.wrong for witness in witnesses] == [[]] * READERS
    store = make_client().config_store("base")
    wait_until(lambda: [reader.revision for reader in store.readers()] == [EDITS] * READERS)


def test_a_start_without_zookeeper(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, tmp_path: Path) -> None:
    file = tmp_path / "cache" / "shop.json"
    store = make_client().config_store("shop")
    store.replace({"timeout": 3}, "first")
    config = make_client().config("shop", Shop, fallback=file).wait_ready()
    wait_until(file.exists)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store.replace({"timeout": 4}, "second")
    wait_config(config, lambda value: value.timeout == 4)
    wait_until(lambda: json.loads(file.read_text())["documents"][0]["revision"] == 2)
    assert [path.name for path in file.parent.iterdir()] == ["shop.json"]

    zkdiscovery_proxy.refuse()
    client = make_client(zkdiscovery_proxy.address)
    begun = time.monotonic()
    started = client.config("shop", Shop, fallback=file)
    assert started.value.timeout == 4
    assert started.wait_ready() is started
    assert time.monotonic() - begun < 5.0
    assert (started.stale, started.revisions, repr(started)) == (True, {"shop": 2}, "<Config 'shop' stale>")
    store.replace({"timeout": 5}, "third")
    zkdiscovery_proxy.heal()
    assert wait_config(started, lambda value: value.timeout == 5)
    assert not started.stale


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"nonsense", b'{"format": 2, "documents": []}',
        b'{"format": 1, "documents": [{"name": "other", "revision": 1, "values": {}}]}',
        b'{"format": 1, "documents": [{"name": "shop", "revision": 1, "values": {"timeout": "soon"}}]}',
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_used(
    make_client: MakeClient, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file = tmp_path / "shop.json"
    file.write_bytes(content)
    away = make_client("127.0.0.1:1").config("shop", Shop, fallback=file)
    with pytest.raises(NotConnected):
        away.wait_ready(0.1)
    assert [record.levelno for record in caplog.records if "fallback" in record.message] == [logging.WARNING]
    assert "soon" not in caplog.text
    config = make_client().config("shop", Shop, fallback=file).wait_ready()
    assert config.value == Shop()
    wait_until(lambda: file.read_bytes() != content)


def test_a_file_that_can_not_be_written(
    make_client: MakeClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("")
    config = make_client().config("shop", Shop, fallback=tmp_path / "taken" / "shop.json").wait_ready()
    store = make_client().config_store("shop")
    for number in (2, 3):
        store.replace({"timeout": number}, "more")
        wait_config(config, lambda value, number=number: value.timeout == number)
    wait_until(lambda: "was not written" in caplog.text)
    assert caplog.text.count("was not written") == 1


def test_an_outage(make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    store = make_client().config_store("shop")
    store.replace({"timeout": 3}, "first")
    config = make_client(zkdiscovery_proxy.address).config("shop", Shop).wait_ready()
    zkdiscovery_proxy.refuse()
    wait_until(lambda: config.stale)
    store.replace({"timeout": 4}, "meanwhile")
    assert config.value.timeout == 3
    zkdiscovery_proxy.heal()
    wait_config(config, lambda value: value.timeout == 4)
    wait_until(lambda: not config.stale)
