"""Elections on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.integration.aio.conftest import MakeAsync
from tests.integration.aio.loops import on_loop, until
from tests.support import LIMIT, Truth
from zkdiscovery import (
    AsyncClient,
    AsyncTerm,
    Candidate,
    Client,
    ClientClosed,
    LeadershipLost,
    OperationTimeout,
    State,
)

Expire = Callable[[Client], object]


@pytest.fixture
def queue(truth: Truth, namespace: str) -> Callable[[], list[str]]:
    """The nodes of the candidates."""
    return lambda: truth.children(f"{namespace}/elections/report")


@on_loop
async def test_a_campaign(make_async: MakeAsync, queue: Callable[[], list[str]]) -> None:
    client = make_async()
    election = client.election("report", id="me")
    async with election.campaign(LIMIT) as term:
        assert term.fence > 0
        assert election.term is term
        assert not term.lost
        assert [candidate.id for candidate in await election.candidates()] == ["me"]
        leader = await election.leader()
        assert leader is not None
        assert leader.id == "me"
        with pytest.raises(RuntimeError, match="is under way"):
            await election.campaign().__aenter__()
        assert not await term.wait_lost(0.01)
    assert term.lost
    assert queue() == []
    with pytest.raises(LeadershipLost):
        term.check()


@on_loop
async def test_a_second_one_waits_its_turn_or_gives_up(make_async: MakeAsync, queue: Callable[[], list[str]]) -> None:
    first, second = make_async().election("report"), make_async().election("report")

    async def lead() -> bool:
        async with second.campaign(LIMIT) as term:
            return not term.lost

    async with first.campaign(LIMIT):
        with pytest.raises(OperationTimeout, match="another candidate leads"):
            async with second.campaign(0.3):
                pass
        await until(lambda: len(queue()) == 1)
        waiting = asyncio.create_task(lead())
        await until(lambda: len(queue()) == 2)
    assert await waiting
    await second.aclose()


@on_loop
async def test_a_loss_cancels_the_block(make_async: MakeAsync, zkdiscovery_expire: Expire) -> None:
    client = make_async()
    reached: list[str] = []
    with pytest.raises(LeadershipLost, match="the session expired"):
        async with client.election("report").campaign(LIMIT):
            try:
                await asyncio.to_thread(zkdiscovery_expire, client.sync)  # which the cancellation may interrupt
                await asyncio.Event().wait()
            finally:
                reached.append("cancelled")
    assert reached == ["cancelled"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # no cancellation is left over


@on_loop
async def test_a_block_that_ignores_its_loss_leaves_no_cancellation(
    make_async: MakeAsync, zkdiscovery_expire: Expire
) -> None:
    client = make_async()
    task = asyncio.current_task()
    assert task is not None
    async with client.election("report").campaign(LIMIT) as term:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.to_thread(zkdiscovery_expire, client.sync)
            await asyncio.Event().wait()
        assert term.lost
    assert task.cancelling() == 0
    await asyncio.sleep(0)


@on_loop
async def test_a_cancellation_from_elsewhere_stays_one(make_async: MakeAsync, queue: Callable[[], list[str]]) -> None:
    client = make_async()
    leading = asyncio.Event()

    async def lead() -> None:
        async with client.election("report").campaign(LIMIT):
            leading.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(lead())
    await leading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: queue() == [])


@on_loop
async def test_what_follows_a_resignation_is_not_cancelled(make_async: MakeAsync) -> None:
    client = make_async()
    async with client.election("report").campaign(LIMIT) as term:
        term.resign()
        assert await term.wait_lost(LIMIT)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("end", ["election", "client"])
@on_loop
async def test_a_block_may_close_what_it_runs_in(make_async: MakeAsync, end: str) -> None:
    client = make_async()
    election = client.election("report")
    async with asyncio.timeout(3.0):
        async with election.campaign(LIMIT) as term:
            await (election.aclose() if end == "election" else client.aclose())
            assert term.lost
            await asyncio.sleep(0.05)
    with pytest.raises(ClientClosed):
        async with election.campaign(LIMIT):
            pass


@pytest.mark.parametrize("end", ["election", "client"])
@on_loop
async def test_a_block_that_awaits_another_task_which_closes_is_cancelled(make_async: MakeAsync, end: str) -> None:
    """`asyncio.wait_for` makes such a task before Python 3.12."""
    client = make_async()
    election = client.election("report")
    async with asyncio.timeout(3.0):
        with pytest.raises(LeadershipLost, match="closed"):
            async with election.campaign(LIMIT):
                await asyncio.create_task(election.aclose() if end == "election" else client.aclose())
    if end == "client":
        await until(lambda: client.state is State.CLOSED)


@pytest.mark.parametrize("end", ["election", "client", "thread"])
@on_loop
async def test_closing_cancels_the_blocks_of_others_and_waits_for_them(make_async: MakeAsync, end: str) -> None:
    client = make_async()
    election = client.election("report")
    leading, ended = asyncio.Event(), asyncio.Event()

    async def lead() -> None:
        with pytest.raises(LeadershipLost, match="closed"):
            async with election.campaign(LIMIT):
                leading.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0.1)
                    ended.set()

    task = asyncio.create_task(lead())
    await leading.wait()
    closing: dict[str, Callable[[], Awaitable[object]]] = {
        "election": election.aclose,
        "client": client.aclose,
        "thread": lambda: asyncio.to_thread(client.sync.close),
    }
    await closing[end]()
    assert ended.is_set()
    await task


@on_loop
async def test_run_goes_on_after_each_loss(make_async: MakeAsync, zkdiscovery_expire: Expire) -> None:
    client = make_async()
    fences: list[int] = []

    async def work(term: AsyncTerm) -> str:
        fences.append(term.fence)
        if len(fences) == 1:
            await asyncio.to_thread(zkdiscovery_expire, client.sync)
            await asyncio.Event().wait()
        return "done"

    assert await client.election("report").run(work) == "done"
    assert fences == sorted(set(fences))
    assert len(fences) == 2

    @client.while_leader("report")
    async def report(term: AsyncTerm) -> int:
        return term.fence

    assert (await report() or 0) > fences[-1]


@on_loop
async def test_run_ends_with_the_client(make_async: MakeAsync) -> None:
    first, second = make_async(), make_async()
    async with first.election("report").campaign(LIMIT):
        running = asyncio.create_task(second.election("report").run(lambda _term: asyncio.sleep(0)))
        await asyncio.sleep(0.05)
        await second.aclose()
        assert await running is None


@on_loop
async def test_start_runs_until_closed_and_after_each_error(
    make_async: MakeAsync, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_async()
    election = client.election("report")
    fences: list[int] = []

    async def work(term: AsyncTerm) -> None:
        fences.append(term.fence)
        if len(fences) == 1:
            raise ValueError("on purpose")
        await asyncio.Event().wait()

    election.start(work)
    with pytest.raises(RuntimeError, match="is under way"):
        election.start(work)
    await until(lambda: len(fences) == 2)
    await election.aclose()
    await client.aclose()
    assert "on purpose" in caplog.text
    assert len(fences) == 2


@on_loop
async def test_the_leader_is_told(make_async: MakeAsync) -> None:
    client: AsyncClient = make_async()
    seen: list[str | None] = []

    async def note(leader: Candidate | None) -> None:
        seen.append(leader and leader.id)

    watched = client.election("report")
    watched.on_change(note)
    async with client.election("report", id="me").campaign(LIMIT):
        await until(lambda: seen and seen[-1] == "me")
    await until(lambda: seen[-1] is None)
    assert await client.election_names() == ["report"]
    await watched.aclose()


@on_loop
async def test_functions_that_cant_be_awaited_are_refused(make_async: MakeAsync) -> None:
    election = make_async().election("report")
    with pytest.raises(TypeError, match="must be an `async def` function, not int"):
        await election.run(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be an `async def` function, and .* returned int"):
        await election.run(lambda term: term.fence)  # type: ignore[arg-type, return-value]
