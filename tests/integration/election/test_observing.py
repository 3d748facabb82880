"""Who stands, who leads, and what else lies in an election's path."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import NAME, Line, path_of
from tests.support import LIMIT, Recorder, Truth, core_of, counting, wait_epoch
from zkdiscovery import Candidate, Client
from zkdiscovery.session import EPHEMERAL, Create

Leaders = Recorder[Candidate | None]


def ids(leaders: list[Candidate | None]) -> list[str | None]:
    return [leader.id if leader is not None else None for leader in leaders]


def test_candidates_are_listed_in_the_order_in_which_they_lead(make_client: MakeClient, line: Line) -> None:
    observer = make_client().election(NAME)
    assert observer.candidates() == []
    assert observer.leader() is None
    campaigners = [line.join(make_client(), id=name) for name in ("zoe", "adam", "mia")]
    candidates = observer.candidates()
    assert [candidate.id for candidate in candidates] == ["zoe", "adam", "mia"]
    assert observer.leader() == candidates[0] == Candidate("zoe", campaigners[0].wait_term().fence)
    campaigners[0].leave()
    assert campaigners[1].wait_term().fence == candidates[1].fence
    assert observer.leader() == candidates[1]


def test_looking_costs_a_list_and_a_bulk_read(make_client: MakeClient, line: Line) -> None:
    for _ in range(3):
        line.join(make_client())
    client = make_client()
    client.wait_connected(LIMIT)
    with counting(client) as requests:
        assert len(client.election(NAME).candidates()) == 3
    assert requests == {"GetChildren": 1, "MultiRead": 1}


def test_a_candidate_calls_itself_by_host_and_process_unless_told(make_client: MakeClient, line: Line) -> None:
    leader = line.join(make_client())
    (candidate,) = leader.election.candidates()
    assert candidate.id == leader.election.id
    assert ":" in candidate.id


def test_subscribers_are_told_of_each_leader_the_present_one_first(make_client: MakeClient, line: Line) -> None:
    observer = make_client().election(NAME)
    leaders: Leaders = Recorder()
    observer.on_change(leaders)
    leaders.wait(lambda items: ids(items) == [None])
    first = line.join(make_client(), id="first")
    leaders.wait(lambda items: ids(items) == [None, "first"])
    line.join(make_client(), id="second")
    late: Leaders = Recorder()
    observer.on_change(late)
    late.wait(lambda items: ids(items) == ["first"])
    first.leave()
    for each in (leaders, late):
        each.wait(lambda items: ids(items)[-2:] == ["first", "second"])
    assert leaders.items[-1] == observer.leader()


def test_a_follower_that_comes_or_goes_is_no_news(make_client: MakeClient, line: Line) -> None:
    client = make_client()
    observer = client.election(NAME)
    leaders: Leaders = Recorder()
    observer.on_change(leaders)
    first = line.join(make_client(), id="first")
    second = line.join(make_client(), id="second")
    second.election.close(LIMIT)
    second.join()
    line.wait_length(1)
    third = line.join(make_client(), id="third")
    first.leave()
    leaders.wait(lambda items: ids(items)[-1] == "third")
    assert ids(leaders.items) == [None, "first", "third"]
    assert third.wait_term().fence == observer.candidates()[0].fence


def test_a_slow_subscriber_sees_the_last_leader_only(make_client: MakeClient, line: Line) -> None:
    client = make_client()
    observer = client.election(NAME)
    seen: list[Candidate | None] = []
    called, go_on, last = threading.Event(), threading.Event(), threading.Event()

    def slow(leader: Candidate | None) -> None:
        seen.append(leader)
        called.set()
        assert go_on.wait(LIMIT)
        if leader is not None and leader.id == "3":
            last.set()

    observer.on_change(slow)
    assert called.wait(LIMIT)
    campaigners = [line.join(make_client(), id=str(number)) for number in range(4)]
    for campaigner in campaigners[:3]:
        campaigner.wait_term()
        campaigner.leave()
    campaigners[3].wait_term()
    assert observer._following._observer is not None
    # What follows close upon something else is read a moment later: look after each turn of the worker.
    worker, end = core_of(client).loader.worker, time.monotonic() + LIMIT
    while ids([observer._following._observer._leader]) != ["3"]:
        assert time.monotonic() < end
        done = threading.Event()
        worker.schedule(done, done.set, 0.01)
        assert done.wait(LIMIT)
    go_on.set()
    assert last.wait(LIMIT)
    assert ids(seen) == [None, "3"]


def test_callbacks_end_with_their_subscription_and_with_the_election(make_client: MakeClient, line: Line) -> None:
    observer = make_client().election(NAME)
    closed: Leaders = Recorder()
    leaders: Leaders = Recorder()
    with observer.on_change(closed):
        closed.wait(bool)
    subscription = observer.on_change(leaders)
    leaders.wait(bool)
    line.join(make_client())
    leaders.wait(lambda items: len(items) == 2)
    assert len(closed.items) == 1
    observer.close()
    assert subscription.closed


def test_a_callback_may_close_its_election(make_client: MakeClient) -> None:
    observer = make_client().election(NAME)
    done = threading.Event()

    def close(_leader: Candidate | None) -> None:
        observer.close()
        done.set()

    observer.on_change(close)
    assert done.wait(LIMIT)


def test_what_can_t_be_called_is_refused(make_client: MakeClient) -> None:
    observer = make_client().election(NAME)

    async def later(_leader: Candidate | None) -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        observer.on_change(later)
    with pytest.raises(TypeError, match="callable"):
        observer.on_change("print")  # type: ignore[arg-type]


def test_an_observer_outlives_its_session(
    make_client: MakeClient, line: Line, zkdiscovery_expire: Callable[[Client], None]
) -> None:
    client = make_client()
    observer = client.election(NAME)
    leaders: Leaders = Recorder()
    observer.on_change(leaders)
    leaders.wait(bool)
    zkdiscovery_expire(client)
    wait_epoch(client, 2)
    line.join(make_client(), id="first")
    leaders.wait(lambda items: ids(items) == [None, "first"])


JUNK = [b"", b"\xff\xfe", b"[]", b"null", b'{"id": 7}', b'{"id": "\\u001b[31m"}', b"[" * 100_000]


def test_persistent_junk_is_nobody(make_client: MakeClient, truth: Truth, line: Line) -> None:
    for number, data in enumerate(JUNK):
        truth.create(f"{line.path}/junk-{number}", data)
    client = make_client()
    observer = client.election(NAME)
    leaders: Leaders = Recorder()
    observer.on_change(leaders)
    leaders.wait(lambda items: ids(items) == [None])
    with client.election(NAME, id="me").campaign(LIMIT) as term:
        leaders.wait(lambda items: ids(items) == [None, "me"])
        assert observer.candidates() == [Candidate("me", term.fence)]


def test_foreign_candidates_are_waited_for_whatever_they_hold(
    make_client: MakeClient, truth: Truth, line: Line
) -> None:
    truth.create(f"{line.path}/long", b'{"id":"' + b"x" * 1000 + b'"}', ephemeral=True)
    for number, data in enumerate(JUNK):
        truth.create(f"{line.path}/junk-{number}", data, ephemeral=True)
    session = truth.session
    truth.call(Create(f"{line.path}/ours", b'{"id":"ours","more":1}', session.leaf_acl, EPHEMERAL))
    client = make_client()
    expected = ["x" * 256, *[""] * len(JUNK), "ours"]
    assert [candidate.id for candidate in client.election(NAME).candidates()] == expected
    late = line.join(client, others=len(expected))
    for name in truth.children(line.path):
        if f"{line.path}/{name}" != path_of(late):
            assert not late.terms.items
            truth.delete(f"{line.path}/{name}")
    late.wait_term()
