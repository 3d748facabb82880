"""No lost request: servers that are restarted one after the other, or killed, under 100 calls a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.faults.servers.callers import Aiohttp, AsyncHttpx, Httpx, Requests
from tests.faults.servers.fleet import Fleet, uvicorn
from tests.faults.servers.load import Load
from tests.faults.servers.stops import kill_with_slow_call, restart_each
from tests.support import LIMIT

CallerType = type[Httpx | AsyncHttpx | Requests | Aiohttp]

CALLERS = [AsyncHttpx, *(pytest.param(caller, marks=pytest.mark.load) for caller in (Httpx, Requests, Aiohttp))]

pytestmark = pytest.mark.timeout(240)  # each restart waits for the slow call that is under way


@pytest.mark.parametrize("caller_type", CALLERS)
def test_rolling_restart(
    caller_type: CallerType, tmp_path: Path, environment: dict[str, str], make_client: MakeClient
) -> None:
    client = make_client()
    with Fleet(uvicorn, tmp_path, environment) as fleet, caller_type(client) as caller:
        view = client.discover("payments").wait_ready(LIMIT, at_least=3)
        with Load(caller) as load:
            restart_each(fleet, load, view)
    print(f"{caller_type.__name__}: {load.ended} calls, {len(load.failed)} failed, {load.retried} retried")
    assert (load.failed, load.retried) == ([], 0), fleet.said()


@pytest.mark.parametrize("caller_type", CALLERS)
def test_kill(caller_type: CallerType, tmp_path: Path, environment: dict[str, str], make_client: MakeClient) -> None:
    """Only calls that were under way at the killed process fail, and made once more, they succeed."""
    client = make_client()
    with Fleet(uvicorn, tmp_path, environment) as fleet, caller_type(client) as caller:
        client.discover("payments").wait_ready(LIMIT, at_least=3)
        with Load(caller) as load:
            killed = kill_with_slow_call(fleet, load)
    print(f"{caller_type.__name__}: {load.ended} calls, {len(load.failed)} failed, {load.retried} repeated")
    assert load.failed or load.retried, "the slow call was under way"
    for failed in load.failed:
        assert failed.began < killed, failed
        assert not isinstance(failed.again, Exception), failed
