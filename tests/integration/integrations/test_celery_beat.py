"""Celery beat on the leader only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery
from celery.beat import EmbeddedService, PersistentScheduler
from celery.exceptions import ImproperlyConfigured
from celery.schedules import crontab

from tests.conftest import MakeClient
from tests.support import LIMIT, Recorder, Truth, wait_until
from zkdiscovery import InvalidName, LeadershipLost
from zkdiscovery.integrations.celery import FENCE_HEADER, LeaderOnly, LeaderScheduler, current_fence, current_term
from zkdiscovery.integrations.jobs import Record
from zkdiscovery.testing import ZookeeperServer

ROOT = Path(__file__).parents[3]


class Persistent(LeaderOnly, PersistentScheduler):  # type: ignore[misc]
    """One with a file."""


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


MakeApp = Callable[..., Celery]


@pytest.fixture
def ran() -> Recorder[Any]:
    """What tasks have told."""
    return Recorder()


@pytest.fixture
def make_app(zkdiscovery_server: ZookeeperServer, namespace: str, ran: Recorder[Any]) -> MakeApp:
    """Makes applications whose task `tell` tells its argument and its fence, at once."""

    def make(**schedule: Any) -> Celery:
        app = Celery("shop", broker="memory://", set_as_current=False)
        app.conf.task_always_eager = True
        app.conf.timezone = "UTC"
        app.conf.zkdiscovery_election = "beat"
        app.conf.zkdiscovery_client = {
            "hosts": zkdiscovery_server.hosts,
            "namespace": namespace,
            "session_timeout": 4.0,
        }

        @app.task(name="tell", shared=False)
        def tell(what: str) -> None:
            ran((what, current_fence()))

        app.conf.beat_schedule = {
            name: {"task": "tell", "schedule": each, "args": (name,)} for name, each in schedule.items()
        }
        return app

    return make


@contextmanager
def beating(app: Celery, scheduler: Any = LeaderScheduler, **options: Any) -> Iterator[Any]:
    beat: Any = EmbeddedService(app, thread=True, scheduler_cls=scheduler, **options)
    beat.start()
    try:
        yield beat
    finally:
        beat.stop()
        beat.join(LIMIT)


def begin_runs(make_client: MakeClient, **runs: float) -> None:
    """What an earlier leader has begun."""
    client = make_client()
    record = Record(client, "beat")
    with client.election("beat").campaign(LIMIT) as term:
        record.take_over(term)
        for name, at in runs.items():
            record.begin(term, name, at)


def test_the_leader_alone_sends_and_the_next_one_follows(make_app: MakeApp, ran: Recorder[Any]) -> None:
    with beating(make_app(first=1.0)):
        ran.wait(lambda runs: len(runs) >= 1)
        second = beating(make_app(second=1.0))
        beat = second.__enter__()
        ran.wait(lambda runs: len(runs) >= 3)
        assert {name for name, _ in ran.items} == {"first"}
    ran.wait(lambda runs: runs[-1][0] == "second")
    fences = dict(ran.items)
    assert fences["second"] > fences["first"]
    beat.stop()
    beat.join(LIMIT)


def test_what_an_earlier_leader_sent_is_not_sent_again(
    make_app: MakeApp, make_client: MakeClient, ran: Recorder[Any]
) -> None:
    now = int(time.time())
    begin_runs(make_client, hourly=now - 10, daily=now - 10)
    with beating(make_app(hourly=3600.0, daily=crontab(minute="*"), probe=1.0)) as beat:
        minute = datetime.now(UTC).minute
        ran.wait(lambda runs: sum(name == "probe" for name, _ in runs) >= 2)
        entries = beat.service.scheduler.schedule
        assert entries["hourly"].last_run_at.timestamp() == now - 10
    assert "hourly" not in dict(ran.items)
    if datetime.fromtimestamp(now - 10, UTC).minute == minute == datetime.now(UTC).minute:
        assert "daily" not in dict(ran.items)


def test_what_was_due_while_nobody_led_is_sent_once(
    make_app: MakeApp, make_client: MakeClient, ran: Recorder[Any]
) -> None:
    begin_runs(make_client, hourly=time.time() - 3 * 3600.0, daily=time.time() - 2 * 86400.0)
    five_ago = datetime.now(UTC) - timedelta(minutes=5)
    for _ in range(2):
        app = make_app(hourly=3600.0, daily=crontab(minute=five_ago.minute, hour=five_ago.hour), probe=1.0)
        with beating(app):
            seen = len(ran.items)
            ran.wait(lambda runs, seen=seen: sum(name == "probe" for name, _ in runs[seen:]) >= 2)
    names = [name for name, _ in ran.items]
    assert (names.count("hourly"), names.count("daily")) == (1, 1)


def test_nothing_is_sent_after_the_term(make_app: MakeApp, ran: Recorder[Any]) -> None:
    scheduler: Any = LeaderScheduler(make_app(each=1.0))
    try:
        wait_until(lambda: scheduler.tick() and ran.items)
        entry = scheduler.schedule["each"]
        count = len(ran.items)
        scheduler.close()
        with pytest.raises(LeadershipLost):
            scheduler.apply_async(entry)
        assert scheduler.tick() == 0
        assert len(ran.items) == count
    finally:
        scheduler.close()


def test_the_schedule_keeps_its_headers(make_app: MakeApp, ran: Recorder[Any]) -> None:
    app = make_app(each=1.0)
    app.conf.beat_schedule["each"]["options"] = {"headers": {"mine": 7}}
    seen: Recorder[Any] = Recorder()

    @app.task(bind=True, name="look", shared=False)
    def look(self: Any) -> None:
        seen((self.request.headers["mine"], self.request.headers[FENCE_HEADER], current_term().fence))

    app.conf.beat_schedule["each"].update(task="look", args=())
    with beating(app) as beat:
        seen.wait(lambda looks: len(looks) == 2)
        assert FENCE_HEADER not in beat.service.scheduler.schedule["each"].options["headers"]
    (mine, fence, own), *_ = seen.items
    assert (mine, fence) == (7, own)


def test_a_task_that_somebody_else_sends_has_no_fence(make_app: MakeApp, ran: Recorder[Any]) -> None:
    make_app().tasks["tell"].delay("by hand")
    assert ran.items == [("by hand", None)]
    assert current_fence() is None


def test_with_another_scheduler(make_app: MakeApp, ran: Recorder[Any], tmp_path: Path) -> None:
    with beating(make_app(each=1.0), Persistent, schedule_filename=str(tmp_path / "schedule")):
        ran.wait(lambda runs: len(runs) >= 2)
    assert list(tmp_path.iterdir())


def test_what_can_not_be(make_app: MakeApp) -> None:
    app = make_app()
    app.conf.zkdiscovery_election = "a/b"
    with pytest.raises(InvalidName):
        LeaderScheduler(app)
    app.conf.zkdiscovery_election = None
    with pytest.raises(ImproperlyConfigured, match="the name of an election"):
        LeaderScheduler(app)
    LeaderScheduler(app, lazy=True).close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", [["beat"], ["worker", "-B", "-P", "solo", "--without-mingle"]], ids=" ".join)
def test_the_command(command: list[str], zkdiscovery_server: ZookeeperServer, namespace: str, truth: Truth) -> None:
    """Two of them; SIGTERM hands over at once, and leaves nothing in the election."""
    env = {**os.environ, "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts, "ZKDISCOVERY_NAMESPACE": namespace}
    said: Recorder[tuple[int, str]] = Recorder()
    processes, readers = [], []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.integration.integrations.beat_process", *command],
            cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        processes.append(process)

        def read(process: subprocess.Popen[str] = process) -> None:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("ran "):
                    said((int(line.split()[2]), line))

        readers.append(threading.Thread(target=read))
        readers[-1].start()
    try:
        wait_until(lambda: len(truth.children(f"{namespace}/elections/beat")) == 2, 2 * LIMIT)
        leader = said.wait(lambda lines: len(lines) >= 1)[0][0]
        began = time.monotonic()
        (first,) = (process for process in processes if leader in {process.pid, *children_of(process.pid)})
        first.send_signal(signal.SIGTERM)
        said.wait(lambda lines: lines[-1][0] != leader)
        assert time.monotonic() - began < 5.0, "sooner than the session times out"
        assert first.wait(LIMIT) == 0
        assert len(truth.children(f"{namespace}/elections/beat")) == 1
    finally:
        for process in processes:
            process.terminate()
            process.wait(LIMIT)
            assert process.stdout is not None
        for reader, process in zip(readers, processes, strict=True):
            reader.join(LIMIT)
            process.stdout.close()
