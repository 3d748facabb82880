"""APScheduler's schedulers on the leader only."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, EVENT_SCHEDULER_SHUTDOWN
from apscheduler.executors.pool import ProcessPoolExecutor, ThreadPoolExecutor
from apscheduler.jobstores.base import BaseJobStore
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.triggers.cron import CronTrigger

from tests.conftest import MakeClient
from tests.support import LIMIT, Recorder, wait_until
from zkdiscovery import Client, ClientClosed, InvalidName, LeadershipLost
from zkdiscovery.integrations.apscheduler import (
    LeaderAsyncIOScheduler,
    LeaderBackgroundScheduler,
    LeaderBlockingScheduler,
    current_term,
)
from zkdiscovery.testing import static_client

DAY = timedelta(days=1)


class Schedulers:
    """Makes schedulers, and shuts down those that run at the end."""

    def __init__(self, make_client: MakeClient) -> None:
        self._make_client = make_client
        self._made: list[Any] = []

    def make(self, kind: Any = LeaderBackgroundScheduler, client: Client | None = None, **options: Any) -> Any:
        scheduler = kind(client or self._make_client(), "jobs", timezone=UTC, **options)
        self._made.append(scheduler)
        return scheduler

    def shut_down(self) -> None:
        for scheduler in self._made:
            if scheduler.running:
                scheduler.shutdown()


@pytest.fixture
def schedulers(make_client: MakeClient) -> Iterator[Schedulers]:
    made = Schedulers(make_client)
    yield made
    made.shut_down()


def once_at(at: datetime) -> CronTrigger:
    """Each day at the second of `at`."""
    return CronTrigger(hour=at.hour, minute=at.minute, second=at.second, timezone=UTC)


def test_the_leader_alone_runs_jobs_and_the_next_one_follows(schedulers: Schedulers) -> None:
    ran: Recorder[tuple[str, int]] = Recorder()
    first, second = schedulers.make(), schedulers.make()
    for name, scheduler in (("first", first), ("second", second)):
        scheduler.add_job(
            lambda name: ran((name, current_term().fence)), "interval", seconds=1, args=(name,), id="each second"
        )
    first.start()
    ran.wait(lambda runs: len(runs) >= 1)
    second.start()
    ran.wait(lambda runs: len(runs) >= 3)
    assert {name for name, _ in ran.items} == {"first"}
    first.shutdown()
    runs = ran.wait(lambda runs: runs[-1][0] == "second")
    fences = dict(runs)
    assert fences["second"] > fences["first"]


def test_a_run_that_was_begun_is_not_repeated_by_the_next_leader(schedulers: Schedulers) -> None:
    """Though it is due within the grace time there, and though its job is as new as the process."""
    ran: Recorder[str] = Recorder()
    now = datetime.now(UTC)
    due = now + timedelta(seconds=2)
    first, second = schedulers.make(), schedulers.make()
    first.add_job(ran, once_at(due), args=("daily, first",), id="daily")
    second.add_job(ran, once_at(due), args=("daily, second",), id="daily")
    second.add_job(ran, "date", run_date=due - timedelta(seconds=1), args=("once, second",), id="once")
    second.add_job(ran, "interval", seconds=1, args=("probe",), id="probe")
    first.start()
    ran.wait(lambda runs: len(runs) == 1)
    second.start()
    first.shutdown()
    ran.wait(lambda runs: runs.count("probe") >= 2)
    assert set(ran.items) == {"daily, first", "probe"}
    assert second.get_job("once") is None
    assert second.get_job("daily").next_run_time > now + DAY / 2


def test_a_run_that_was_due_while_nobody_led_is_made_up_for_once(schedulers: Schedulers) -> None:
    ran: Recorder[str] = Recorder()
    first = schedulers.make()
    first.add_job(lambda: ran("before"), "interval", seconds=1, id="each second")
    first.start()
    ran.wait(lambda runs: len(runs) >= 1)
    first.shutdown()
    time.sleep(2.0 - time.time() % 1)  # so that a second passes for which nobody ran
    missed = datetime.now(UTC).replace(microsecond=0)
    second = schedulers.make()
    second.add_job(ran, once_at(missed), args=("daily",), id="daily")
    second.add_job(ran, once_at(missed - timedelta(hours=1)), args=("an hour ago",), id="an hour ago")
    second.start()
    assert second.get_job("daily").next_run_time > missed
    ran.wait(lambda runs: "daily" in runs)
    wait_until(lambda: second.get_job("daily").next_run_time > missed)
    second.shutdown()
    third = schedulers.make()
    third.add_job(ran, once_at(missed), args=("daily",), id="daily")
    third.add_job(ran, "interval", seconds=1, args=("probe",), id="probe")
    third.start()
    ran.wait(lambda runs: "probe" in runs)
    assert ran.items.count("daily") == 1
    assert "an hour ago" not in ran.items


class Elsewhere(BaseJobStore):  # type: ignore[misc]
    """A job store that is no `MemoryJobStore`, such as one in a database."""

    def __init__(self) -> None:
        self._store = MemoryJobStore()

    def start(self, scheduler: Any, alias: str) -> None:
        super().start(scheduler, alias)
        self._store.start(scheduler, alias)

    def lookup_job(self, job_id: str) -> Any:
        return self._store.lookup_job(job_id)

    def get_due_jobs(self, now: datetime) -> Any:
        return self._store.get_due_jobs(now)

    def get_next_run_time(self) -> Any:
        return self._store.get_next_run_time()

    def get_all_jobs(self) -> Any:
        return self._store.get_all_jobs()

    def add_job(self, job: Any) -> None:
        self._store.add_job(job)

    def update_job(self, job: Any) -> None:
        self._store.update_job(job)

    def remove_job(self, job_id: str) -> None:
        self._store.remove_job(job_id)

    def remove_all_jobs(self) -> None:
        self._store.remove_all_jobs()


def test_a_store_that_processes_share_is_left_as_it_is(schedulers: Schedulers) -> None:
    """It knows the next runs better than we do."""
    ran: Recorder[str] = Recorder()
    first, second = schedulers.make(), schedulers.make(jobstores={"shared": Elsewhere()})
    for scheduler in (first, second):
        scheduler.add_job(ran, "interval", seconds=1, args=("probe",), id="probe")
    first.start()
    ran.wait(lambda runs: len(runs) >= 1)
    first.shutdown()
    stored = datetime.now(UTC) - timedelta(seconds=30)
    second.add_job(ran, "interval", days=1, args=("shared",), id="a", jobstore="shared", next_run_time=stored)
    second.add_job(ran, "interval", days=1, args=("memory",), id="b", next_run_time=stored)
    second.start()
    ran.wait(lambda runs: "shared" in runs and runs[-1] == "probe")
    assert "memory" not in ran.items


def test_without_zookeeper(schedulers: Schedulers) -> None:
    """In users' own unit tests."""
    ran: Recorder[int] = Recorder()
    with static_client() as client:
        scheduler = schedulers.make(client=client)
        scheduler.add_job(lambda: ran(current_term().fence), "interval", seconds=1, id="each second")
        scheduler.start()
        ran.wait(lambda runs: runs == [1])
        client.lose_leadership("jobs")
        ran.wait(lambda runs: runs[-1] == 2)
        scheduler.shutdown()


def test_a_long_time_as_a_follower_costs_nothing(schedulers: Schedulers) -> None:
    ran: Recorder[int] = Recorder()
    missed: Recorder[Any] = Recorder()
    scheduler = schedulers.make()
    scheduler.add_listener(missed, EVENT_JOB_MISSED)
    month_ago = datetime.now(UTC) - 30 * DAY
    scheduler.add_job(lambda: ran(1), "cron", second="*", id="each second", next_run_time=month_ago)
    began = time.process_time()
    scheduler.start()
    ran.wait(lambda runs: len(runs) >= 1)
    assert time.process_time() - began < 2.0, "counting up 2,592,000 runs takes minutes"
    assert missed.items == []


def test_a_job_whose_term_has_ended_does_not_begin(schedulers: Schedulers, make_client: MakeClient) -> None:
    """It waited in the pool meanwhile."""
    ran: Recorder[str] = Recorder()
    failed: Recorder[Any] = Recorder()
    blocked, go_on = threading.Event(), threading.Event()
    client = make_client()
    scheduler = schedulers.make(client=client, executors={"default": ThreadPoolExecutor(1)})
    scheduler.add_listener(failed, EVENT_JOB_ERROR)

    def block() -> None:
        current_term().check()
        ran("blocker")
        blocked.set()
        go_on.wait(LIMIT)
        assert current_term().lost

    soon = datetime.now(UTC) + timedelta(seconds=1)
    scheduler.add_job(block, "date", run_date=soon, id="blocker")
    scheduler.add_job(ran, "date", run_date=soon, args=("waiting",), id="waiting")
    scheduler.start()
    assert blocked.wait(LIMIT)
    draining = threading.Thread(target=client.drain, args=(5.0,))
    draining.start()
    wait_until(lambda: client.slot.ending.begun)
    go_on.set()
    draining.join(LIMIT)
    (event,) = failed.wait(lambda events: len(events) == 1)
    assert event.job_id == "waiting"
    assert isinstance(event.exception, LeadershipLost)
    assert ran.items == ["blocker"]


def test_the_next_leader_waits_for_a_job_of_one_that_shuts_down(schedulers: Schedulers) -> None:
    ran: Recorder[str] = Recorder()
    begun = threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(1.0)
        current_term().check()
        ran("slow")

    first, second = schedulers.make(), schedulers.make()
    first.add_job(slow, "interval", seconds=1, id="slow")
    second.add_job(ran, "interval", seconds=1, args=("second",), id="second")
    first.start()
    assert begun.wait(LIMIT)
    second.start()
    first.shutdown()
    ran.wait(lambda runs: "second" in runs)
    assert ran.items[0] == "slow"


def test_a_job_may_shut_its_scheduler_down(schedulers: Schedulers) -> None:
    done = threading.Event()
    scheduler = schedulers.make(kind=LeaderBlockingScheduler)

    def stop() -> None:
        began = time.monotonic()
        scheduler.shutdown(wait=False)
        if time.monotonic() - began < 2.0:
            done.set()

    scheduler.add_job(stop, "interval", seconds=1, id="stop")
    scheduler.start()  # returns after the shutdown
    assert done.wait(LIMIT)


@pytest.mark.parametrize("is_coroutine", [True, False])
def test_on_an_event_loop(is_coroutine: bool, schedulers: Schedulers) -> None:
    ran: Recorder[int] = Recorder()

    async def each_second() -> None:
        fence = current_term().fence
        await asyncio.sleep(0)
        assert current_term().fence == fence
        ran(fence)

    def in_a_thread() -> None:
        ran(current_term().fence)

    async def main() -> None:
        scheduler = schedulers.make(kind=LeaderAsyncIOScheduler)
        scheduler.add_job(each_second if is_coroutine else in_a_thread, "interval", seconds=1, id="each second")
        scheduler.start()
        seen = len(ran.items)
        await asyncio.to_thread(ran.wait, lambda runs: len(runs) >= seen + 2)
        over = asyncio.Event()
        scheduler.add_listener(lambda _: over.set(), EVENT_SCHEDULER_SHUTDOWN)
        scheduler.shutdown()
        await over.wait()

    asyncio.run(main())
    assert len(set(ran.items)) == 1
    asyncio.run(main())  # the one before has left the election
    assert len(set(ran.items)) == 2


def test_due_times_are_the_same_in_every_process(schedulers: Schedulers) -> None:
    scheduler = schedulers.make()
    scheduler.add_job(print, "interval", hours=1, id="hourly")
    scheduler.start()
    due = scheduler.get_job("hourly").next_run_time
    assert (due.minute, due.second, due.microsecond) == (0, 0, 0)
    scheduler.reschedule_job("hourly", trigger="interval", minutes=10)
    due = scheduler.get_job("hourly").next_run_time
    assert (due.minute % 10, due.second, due.microsecond) == (0, 0, 0)


def test_options_of_apscheduler(schedulers: Schedulers) -> None:
    scheduler = schedulers.make(gconfig={"apscheduler.job_defaults.misfire_grace_time": "7"})
    scheduler.add_executor("threadpool", "more", max_workers=2)
    scheduler.start()
    assert scheduler.add_job(print, "interval", days=1).misfire_grace_time == 7
    other = schedulers.make(job_defaults={"coalesce": False})
    other.start()
    job = other.add_job(print, "interval", days=1)
    assert (job.misfire_grace_time, job.coalesce) == (60, False)


def test_what_can_not_be(schedulers: Schedulers, make_client: MakeClient) -> None:
    with pytest.raises(TypeError, match="a job in another process has no term"):
        schedulers.make(executors={"default": ProcessPoolExecutor(1)})
    with pytest.raises(TypeError, match="Expected an executor instance"):
        schedulers.make().add_executor(7)
    with pytest.raises(InvalidName):
        LeaderBackgroundScheduler(make_client(), "a/b")
    client = make_client()
    client.close()
    with pytest.raises(ClientClosed):
        schedulers.make(client=client).start()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_made_before_a_fork_and_started_after_it(schedulers: Schedulers) -> None:
    scheduler = schedulers.make()
    ready, done = os.pipe()
    scheduler.add_job(lambda: os.write(done, b"ran"), "interval", seconds=1, id="each second")
    child = os.fork()
    if child == 0:
        scheduler.start()
        time.sleep(LIMIT)
        os._exit(1)
    try:
        assert os.read(ready, 3) == b"ran"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(done)
