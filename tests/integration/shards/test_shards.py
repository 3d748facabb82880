"""Shards on threads: who gets them, what a consumer sees, and how they move."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.shards.conftest import Consume
from tests.integration.shards.helpers import NAME
from tests.support import LIMIT, Recorder, Truth, wait_until
from zkdiscovery import Client, ClientClosed, HoldLost, InvalidName, InvalidSettings, NodeMissing, Shard

Expire = Callable[[Client], object]


def test_one_member_consumes_all(make_client: MakeClient, consume: Consume, truth: Truth, root: str) -> None:
    client = make_client()
    member = consume(client)
    assert member.wait_held(8) == set(range(8))
    assert member.shards.held() == list(range(8))
    shards = member.begun.wait(lambda begun: len(begun) == 8)
    assert {shard.number for shard in shards} == set(range(8))
    for shard in shards:
        shard.hold.check()
        assert not shard.lost
        assert not shard.wait_lost(0.0)
        assert shard.hold.remaining > 0
        assert f"{shard.number} of the shards 'orders': held" in repr(shard)
    assert len({shard.hold.fence for shard in shards}) == 8
    assert client.shard_names() == [NAME]
    member.shards.close()
    member.join()
    assert member.error is None
    assert all(shard.lost and shard.hold.lost for shard in shards)
    assert member.shards.held() == []
    member.wait_held(0)
    assert truth.children(f"{root}/members") == []
    assert all(truth.children(f"{root}/locks/{number}") == [] for number in range(8))


def test_one_that_joins_takes_its_part_and_one_that_leaves_gives_it_back(
    make_client: MakeClient, consume: Consume
) -> None:
    first = consume(make_client())
    first.wait_held(8)
    second = consume(make_client())
    taken = second.wait_held(4)
    kept = first.wait_held(4)
    assert taken | kept == set(range(8))
    assert {shard.number for shard in first.ended.items} == taken, "nothing else has stopped"
    third_client = make_client()
    third = consume(third_client)
    third.wait_held(2)
    assert len(first.ended.items) + len(second.ended.items) == 4 + 2, "ceil(8 / 3) is 3 at most"
    before = first.wait_held(3), second.wait_held(3)
    third_client.close()
    wait_until(lambda: len(first.shards.held()) == len(second.shards.held()) == 4)
    assert before[0] < set(first.shards.held())
    assert before[1] < set(second.shards.held())
    assert len(first.ended.items) + len(second.ended.items) == 6


def test_what_a_member_leaves_is_taken_without_a_timeout(make_client: MakeClient, consume: Consume) -> None:
    client = make_client(session_timeout=20.0)
    first, second = consume(client), consume(make_client(session_timeout=20.0))
    first.wait_held(4)
    second.wait_held(4)
    client.drain(5.0)
    second.wait_held(8, timeout=5.0)
    first.join()
    assert first.error is None
    with pytest.raises(ClientClosed):
        client.shards(NAME)


def test_weights(make_client: MakeClient, consume: Consume) -> None:
    light, heavy = consume(make_client(), 12, 1.0), consume(make_client(), 12, 3.0)
    heavy.wait_held(9)
    light.wait_held(3)
    table = light.shards.table()
    assert sorted((member.weight, len(member.shards), member.load) for member in table.members) == [
        (1.0, 3, 3.0),
        (3.0, 9, 3.0),
    ]


def test_the_owner_ends_before_the_next_one_begins(make_client: MakeClient, consume: Consume) -> None:
    first = consume(make_client())
    first.wait_held(8)
    first.finish.clear()
    second = consume(make_client())
    wait_until(lambda: sum(shard.lost for shard in first.begun.items) == 4)
    moving = [shard for shard in first.begun.items if shard.lost]
    for shard in moving:
        shard.hold.check()
        assert shard.wait_lost(None)
        assert "moving" in repr(shard)
    assert second.shards.held() == []
    assert len(first.shards.held()) == 8
    first.finish.set()
    assert second.wait_held(4) == {shard.number for shard in moving}
    fences = {shard.number: shard.hold.fence for shard in moving}
    assert all(shard.hold.fence > fences[shard.number] for shard in second.begun.items)
    with pytest.raises(HoldLost):
        moving[0].hold.check()


def test_a_consumer_that_fails_harms_no_other(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    calls: Recorder[int] = Recorder()
    shards = make_client().shards(NAME, count=4)

    def consume(shard: Shard) -> None:
        calls(shard.number)
        if shard.number == 0:
            raise KeyError("nonsense")
        if shard.number == 1:
            raise SystemExit(3)
        if shard.number > 2:
            shard.wait_lost(None)

    thread = threading.Thread(target=shards.run, args=(consume,))
    thread.start()
    calls.wait(lambda called: min(called.count(0), called.count(1), called.count(2)) == 2)
    assert calls.items.count(3) == 1
    assert shards.held() == [0, 1, 2, 3]
    shards.close()
    thread.join(LIMIT)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "what consumes shard 0 of the shards 'orders' raised; it is called again" in errors
    assert "what consumes shard 1 of the shards 'orders' raised; it is called again" in errors
    ours = [record for record in caplog.records if record.name == "zkdiscovery.shards"]
    warnings = [record.getMessage() for record in ours if record.levelname == "WARNING"]
    assert warnings == [
        "what consumes shard 2 of the shards 'orders' returned while the shard is held; it is called again every 1 s"
    ], "once"


def test_a_lost_session(
    make_client: MakeClient, consume: Consume, zkdiscovery_expire: Expire, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    member = consume(client)
    member.wait_held(8)
    before = member.begun.wait(lambda begun: len(begun) == 8)
    member.finish.clear()
    zkdiscovery_expire(client)
    wait_until(lambda: all(shard.lost and shard.hold.lost for shard in before))
    assert member.present() == dict.fromkeys(range(8), 1), "none begins anew while its consumer still runs"
    member.finish.set()
    shards = member.begun.wait(lambda begun: len(begun) == 16)[8:]
    assert {shard.number for shard in shards} == set(range(8))
    assert min(shard.hold.fence for shard in shards) > max(shard.hold.fence for shard in before)
    lost = [record.getMessage() for record in caplog.records if record.getMessage().startswith("lost some")]
    assert len(lost) == 1, "one cause, one line"
    assert lost[0].startswith("lost some of the shards 'orders', number ")
    assert lost[0].endswith("first: the session expired")


def test_the_count_is_stored(make_client: MakeClient, consume: Consume) -> None:
    client = make_client()
    with pytest.raises(InvalidSettings, match="not known how many the shards 'orders' are: give the count"):
        client.shards(NAME).run(print)
    with pytest.raises(NodeMissing, match="no shards 'orders'"):
        client.shards(NAME).table()
    first = consume(client)
    first.wait_held(8)
    with pytest.raises(InvalidSettings, match="the shards 'orders' are 8, and count=9 was given"):
        make_client().shards(NAME, count=9).run(print)
    first.shards.close()
    later = consume(make_client(), None)
    later.wait_held(8)


def test_the_table(make_client: MakeClient, consume: Consume) -> None:
    member = consume(make_client(), 3)
    member.wait_held(3)
    table = make_client().shards(NAME).table()
    me = table.members[0].id
    assert table.count == 3
    assert [(shard.number, shard.owner, shard.assigned) for shard in table.shards] == [(n, me, me) for n in range(3)]
    assert {shard.number: shard.fence for shard in table.shards} == {
        shard.number: shard.hold.fence for shard in member.begun.items
    }
    assert table.members[0].shards == (0, 1, 2)
    member.shards.close()
    left = make_client().shards(NAME).table()
    assert [(shard.owner, shard.fence, shard.since) for shard in left.shards] == [(None, 0, None)] * 3
    assert left.members == ()


def test_leaving_from_within_a_consumer(make_client: MakeClient) -> None:
    for leave in ("close", "drain"):
        client = make_client()
        shards = client.shards(f"{NAME}-{leave}", count=2)
        ended = threading.Event()

        def consume(shard: Shard, client: Client = client, leave: str = leave, ended: threading.Event = ended) -> None:
            if shard.number == 0:
                getattr(client, leave)()
                assert shard.lost
                ended.set()
            shard.wait_lost(None)

        shards.run(consume)
        assert ended.wait(LIMIT)
        assert shards.held() == []


def test_a_callback_that_fails_harms_nothing(
    make_client: MakeClient, consume: Consume, caplog: pytest.LogCaptureFixture
) -> None:
    member = consume(make_client())

    def fail(held: tuple[int, ...]) -> None:
        raise KeyError(held)

    failing = member.shards.on_change(fail)
    member.wait_held(8)
    late: Recorder[tuple[int, ...]] = Recorder()
    with member.shards.on_change(late):
        assert late.wait(bool) == [tuple(range(8))], "the present ones first"
    failing.close()
    assert "it stays subscribed" in caplog.text


def test_misuse(make_client: MakeClient, consume: Consume) -> None:
    client = make_client()
    for count in (0, 4097, True, "8"):
        with pytest.raises(InvalidSettings, match="the count of shards"):
            client.shards(NAME, count)  # type: ignore[arg-type]
    for weight in (0, -1.0, float("nan"), float("inf"), "1"):
        with pytest.raises(InvalidSettings, match="the weight of a member"):
            client.shards(NAME, weight=weight)  # type: ignore[arg-type]
    with pytest.raises(InvalidName, match="the name of shards"):
        client.shards("a/b")
    shards = client.shards(NAME, 8)

    async def consume_async(_: object) -> None: ...

    for nonsense in (None, consume_async):
        with pytest.raises(TypeError, match="what consumes a shard"):
            shards.run(nonsense)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(shards)
    member = consume(client)
    member.wait_held(8)
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(member.begun.items[0])
    with pytest.raises(RuntimeError, match="runs the shards 'orders' already"):
        member.shards.run(print)
    with shards:
        pass
    shards.run(print)  # it was closed, so it returns
    with pytest.raises(ClientClosed, match="were closed"):
        shards.on_change(print)
    assert repr(shards) == "<Shards 'orders' closed>"
    assert repr(member.shards) == "<Shards 'orders' 8 held>"
    assert repr(client.shards(NAME)) == "<Shards 'orders' idle>"
