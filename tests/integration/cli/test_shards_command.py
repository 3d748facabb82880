"""`zkdiscovery shards`."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.conftest import MakeClient
from tests.integration.cli.conftest import Done
from tests.support import LIMIT, Recorder
from zkdiscovery import Shard
from zkdiscovery.cli.exits import ExitCode

Run = Callable[..., Done]


def test_shards(run: Run, make_client: MakeClient, namespace: str) -> None:
    empty = run("shards")
    assert (empty.code, empty.out, empty.err) == (0, "", f"there are no shards in {namespace}/shards\n")
    assert run("shards", "-o", "json").json == []
    missing = run("shards", "orders")
    assert missing.code == ExitCode.NOT_FOUND
    assert "there are no shards 'orders'" in missing.err
    shards = make_client().shards("orders", count=2, weight=2.0)
    begun: Recorder[Shard] = Recorder()

    def consume(shard: Shard) -> None:
        begun(shard)
        shard.wait_lost(None)

    thread = threading.Thread(target=shards.run, args=(consume,))
    thread.start()
    held = sorted(begun.wait(lambda begun: len(begun) == 2), key=lambda shard: shard.number)
    assert run("shards").out.split() == ["SHARDS", "orders"]
    assert run("shards", "-o", "json").json == ["orders"]
    document = run("shards", "orders", "-o", "json").json
    me = document["members"][0]["id"]
    assert document["members"] == [{"id": me, "weight": 2.0, "shards": [0, 1], "load": 1.0}]
    assert [(one["shard"], one["owner"], one["fence"], one["assigned"]) for one in document["owners"]] == [
        (shard.number, me, shard.hold.fence, me) for shard in held
    ]
    assert (document["shards"], document["count"]) == ("orders", 2)
    lines = [line.split() for line in run("shards", "orders").out.splitlines()]
    assert lines[0] == ["SHARD", "OWNER", "FENCE", "SINCE", "MOVES"]
    assert [line[:3] for line in lines[1:3]] == [[str(shard.number), me, str(shard.hold.fence)] for shard in held]
    assert lines[3:] == [["MEMBER", "WEIGHT", "SHARDS", "LOAD"], [me, "2", "2", "1"]]
    shards.close()
    thread.join(LIMIT)
    after = run("shards", "orders", "-o", "json").json
    assert [(one["owner"], one["fence"], one["since"]) for one in after["owners"]] == [(None, None, None)] * 2
    assert after["members"] == []
