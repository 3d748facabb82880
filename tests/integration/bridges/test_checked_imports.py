"""The bridge runs the checks that a source asks for, and they decide between STARTING, UP and DOWN."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.conftest import StartBridge
from tests.integration.bridges.engines import Engine, imported
from tests.integration.registration.checked import BROKEN, FAST, FINE, Service, check
from tests.support import Recorder, wait_until, wait_view
from zkdiscovery import Change, Client, HttpCheck, Status
from zkdiscovery.bridges import Imported


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


def checked(service: Service, **fields: Any) -> Imported:
    """An object that serves."""
    return Imported("web", "object-1", "127.0.0.1", service.port, **{"check": check(), **fields})


def status(client: Client) -> Status | None:
    found = client.instances("web")
    return found[0].status if found else None


def wait_status(client: Client, wanted: Status) -> None:
    wait_until(lambda: status(client) is wanted)


def test_from_starting_to_up_to_down_and_back(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, service: Service
) -> None:
    client = make_client()
    service.says(BROKEN)
    engine.put(checked(service, check=check(grace=3600.0)), imported(2, service="other"))
    start_bridge(client, engine)
    wait_status(client, Status.STARTING)
    wait_until(lambda: service.answers > 3)
    assert status(client) is Status.STARTING
    lists = engine.lists
    for answer, wanted in ((FINE, Status.UP), (BROKEN, Status.DOWN), (FINE, Status.UP)):
        service.says(answer)
        wait_status(client, wanted)
    assert engine.lists == lists, "the source is not asked for what a check has found"
    assert client.instances("other")[0].status is Status.UP, "it is not checked"


def test_what_drains_is_checked_no_more(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, service: Service
) -> None:
    client = make_client()
    engine.put(checked(service))
    start_bridge(client, engine)
    wait_status(client, Status.UP)
    engine.put(checked(service, status=Status.DRAINING))
    wait_status(client, Status.DRAINING)
    time.sleep(FAST["interval"])  # a run under way
    before = service.answers
    service.says(BROKEN)
    engine.put(imported(2, service="other"))
    wait_until(lambda: client.instances("other"))
    assert service.answers <= before + 1
    assert status(client) is Status.DRAINING


def test_a_check_that_is_asked_for_no_more(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, service: Service
) -> None:
    client = make_client()
    service.says(BROKEN)
    engine.put(checked(service))
    start_bridge(client, engine)
    wait_status(client, Status.DOWN)
    engine.put(checked(service, check=None))
    wait_status(client, Status.UP)
    engine.put(checked(service, check=HttpCheck("/other", **FAST)))
    wait_status(client, Status.DOWN)


def test_another_bridge_goes_on_with_the_state_of_the_last_one(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine, service: Service
) -> None:
    client = make_client()
    view = client.discover("web")
    engine.put(checked(service))
    first = start_bridge(make_client(session_timeout=30.0), engine)  # an engine's instances stay for so long
    wait_view(view, lambda snapshot: [each.status for each in snapshot] == [Status.UP])
    seen: Recorder[Change] = Recorder()
    view.on_change(seen)
    service.answer = lambda number: BROKEN if number % 3 == 0 else FINE
    first.stop()
    before = service.answers
    start_bridge(make_client(), engine)
    wait_until(lambda: service.answers > before + 6)
    statuses = {new.status for change in seen.items for _, new in change.delta.values() if new is not None}
    assert statuses <= {Status.UP}, "one failure in three changes nothing, and nor does a restart"
    service.says(BROKEN)
    wait_status(client, Status.DOWN)


def test_only_the_leader_checks(make_client: MakeClient, start_bridge: StartBridge, service: Service) -> None:
    engine, client = Engine(), make_client()
    engine.put(checked(service, check=check(interval=0.5)))
    first = start_bridge(make_client(), engine)
    wait_status(client, Status.UP)
    start_bridge(make_client(), engine)
    wait_until(lambda: engine.subscriptions == 2)
    before, began = service.answers, time.monotonic()
    wait_until(lambda: service.answers >= before + 4)
    assert time.monotonic() - began > 3 * 0.4, "two bridges would ask twice as often"
    first.stop()
    service.says(BROKEN)
    wait_status(client, Status.DOWN)


def test_a_check_that_can_not_run_is_told_and_harms_no_other(
    make_client: MakeClient, start_bridge: StartBridge, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    engine, client = Engine(), make_client()
    engine.put(Imported("named", "object-2", "web.example", 80, check=check()), checked(service))
    start_bridge(client, engine)
    wait_status(client, Status.UP)
    wait_until(lambda: "named at web.example:80: a check goes to an address" in caplog.text)
    assert not client.instances("named")
