"""Readers beside writers that move the pointers of all layers again and again: each value is of one moment.

It finds a reader that asks for the pointers in several requests, which is why the writers are as fast as they can be.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from tests.conftest import MakeClient
from tests.integration.config.conftest import wait_config
from tests.support import IN_FULL, LIMIT, core_of
from zkdiscovery import Client, ConfigChange
from zkdiscovery.config import ConfigStores
from zkdiscovery.config.commit import Edit

NAMES = ["base", "zone", "shop"]
WRITERS = 4
COMMITS = 1000 if IN_FULL else 60  # of each writer
READERS = 4


def write(client: Client, writer: int) -> None:
    """Store revisions whose layers belong together, over whatever is there."""
    stores = core_of(client).feature(ConfigStores)
    layouts = [stores.layout(name) for name in NAMES]
    for number in range(COMMITS):
        mark = f"{writer}-{number}"
        edits = [Edit(layout, json.dumps({layout.name: mark}).encode(), mark) for layout in layouts]
        stores.commit(edits, "test", None, LIMIT)


def test_each_value_is_of_one_moment(make_client: MakeClient) -> None:
    mixes: list[Any] = []
    values = set()

    def look(change: ConfigChange[dict[str, Any]]) -> None:
        marks = {change.after.get(name) for name in NAMES}
        values.update(marks)
        if len(marks) > 1:
            mixes.append(marks)

    configs = [make_client().config("all", layers=NAMES, id=f"web-{number}") for number in range(READERS)]
    for config in configs:
        config.on_change(look)
    clients = [make_client().wait_connected(LIMIT) for _ in range(WRITERS)]
    threads = [threading.Thread(target=write, args=(client, number)) for number, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT)
    last = clients[0].config_store("base").read().revision.number
    assert last == WRITERS * COMMITS
    for config in configs:
        wait_config(config, lambda _, config=config: config.revisions["base"] == last)
        assert config.revisions == dict.fromkeys(NAMES, last)
    assert len(values) > COMMITS / 4, "the readers have seen many of them"
    assert mixes == []
