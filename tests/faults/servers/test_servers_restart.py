"""No lost request, whichever server it is: restarted one after the other, recycled, reloaded or killed under load."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.faults.servers.callers import Httpx
from tests.faults.servers.fleet import Command, Fleet, Member, gunicorn, hypercorn, pids_of_group, uvicorn_workers
from tests.faults.servers.load import Load
from tests.faults.servers.stops import BETWEEN, restart_each
from tests.support import LIMIT, Recorder, wait_until
from zkdiscovery import Change

THREADS = ("--threads", "4")  # the slow call holds one
RECYCLES = ("--max-requests", "100")

pytestmark = pytest.mark.timeout(240)  # each restart waits for the slow call that is under way


@pytest.mark.parametrize(
    ("command", "size"),
    [
        pytest.param(hypercorn, 3, id="hypercorn", marks=pytest.mark.load),
        pytest.param(gunicorn(*THREADS), 2, id="gunicorn", marks=pytest.mark.load),
        pytest.param(gunicorn(*THREADS, "--preload"), 2, id="gunicorn-preloaded", marks=pytest.mark.load),
        pytest.param(gunicorn(*RECYCLES), 2, id="gunicorn-recycled", marks=pytest.mark.load),
        pytest.param(gunicorn(*RECYCLES, "--preload"), 2, id="gunicorn-preloaded-recycled"),
        pytest.param(uvicorn_workers, 2, id="uvicorn-workers"),
    ],
)
def test_rolling_restart(
    command: Command, size: int, tmp_path: Path, environment: dict[str, str], make_client: MakeClient
) -> None:
    client = make_client()
    with Fleet(command, tmp_path, environment, size) as fleet, Httpx(client) as caller:
        view = client.discover("payments").wait_ready(3 * LIMIT, at_least=size)
        with Load(caller) as load:
            restart_each(fleet, load, view, 3 * LIMIT)
    print(f"{load.ended} calls, {len(load.failed)} failed, {load.retried} retried")
    assert (load.failed, load.retried) == ([], 0), fleet.said()
    assert "Traceback" not in fleet.said()


def test_a_reload_of_the_workers(tmp_path: Path, environment: dict[str, str], make_client: MakeClient) -> None:
    """No call fails, and nobody sees the instance change."""
    client = make_client()
    with Fleet(gunicorn(*THREADS), tmp_path, environment, 1) as fleet, Httpx(client) as caller:
        [member] = fleet.members
        view = client.discover("payments").wait_ready(3 * LIMIT)
        changes: Recorder[Change] = Recorder()
        view.on_change(changes)
        changes.wait(lambda seen: len(seen) == 1)  # what is there already
        with Load(caller) as load:
            load.wait(BETWEEN)
            before = workers_of(member)
            member.process.send_signal(signal.SIGHUP)
            wait_until(lambda: not before & workers_of(member), 3 * LIMIT)
            load.wait(BETWEEN)
        assert len(changes.items) == 1
    print(f"{load.ended} calls, {len(load.failed)} failed, {load.retried} retried")
    assert (load.failed, load.retried) == ([], 0), fleet.said()


def workers_of(member: Member) -> set[int]:
    """The processes of a server but the first one."""
    return set(pids_of_group(member.process.pid)) - {member.process.pid}


def test_kill_of_a_worker(tmp_path: Path, environment: dict[str, str], make_client: MakeClient) -> None:
    """Only calls that were under way in the killed process fail, and made once more, they succeed."""
    client = make_client()
    with Fleet(gunicorn(*THREADS), tmp_path, environment, 2), Httpx(client) as caller:
        client.discover("payments").wait_ready(3 * LIMIT, at_least=2)
        with Load(caller) as load:
            load.wait(BETWEEN)
            wait_until(lambda: list(tmp_path.glob("slow.*")))
            [mark] = tmp_path.glob("slow.*")
            os.kill(int(mark.suffix[1:]), signal.SIGKILL)
            killed = time.monotonic()
            mark.unlink()
            load.wait(5 * BETWEEN)
    print(f"{load.ended} calls, {len(load.failed)} failed, {load.retried} connected elsewhere")
    assert load.failed, "the slow call was under way"
    for failed in load.failed:
        assert failed.began < killed, failed
        assert not isinstance(failed.again, Exception), failed
