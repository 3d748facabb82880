"""Several clients share one registration: who holds it, whose data count, who leaves and how."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import HOST, events, stored, wait_stored
from tests.integration.registration.sharing import share, wait_one_holder, wait_role
from tests.support import LIMIT, Truth, counting, node_of, wait_registration, wait_until
from zkdiscovery import Client, Registration, RegistrationState, Status

Sharers = dict[Registration, Client]


@pytest.fixture(autouse=True)
def nobody_is_loud(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing of it is worth a warning."""
    yield
    loud = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert [message for message in loud if "an operator has set" not in message] == []


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/services/payments/a"


@pytest.fixture
def group(namespace: str) -> str:
    return f"{namespace}/share/payments/a"


def start(make_client: MakeClient, count: int, **options: object) -> Sharers:
    """So many sharers; the first one holds the instance."""
    ours = {}
    for _ in range(count):
        client = make_client()
        ours[share(client, **options).wait_registered(LIMIT)] = client
    return ours


def test_one_holds_it_and_all_are_registered(make_client: MakeClient, truth: Truth, path: str, group: str) -> None:
    ours = start(make_client, 3)
    first, *others = ours
    assert wait_one_holder(truth, ours) is first
    assert {registration.state for registration in ours} == {RegistrationState.REGISTERED}
    assert stored(truth, first) == first.instance
    assert {other.instance.registered_at for other in others} == {first.instance.registered_at}
    assert truth.children(path.rpartition("/")[0]) == ["a"]
    assert len(truth.children(group)) == 3


def test_the_workers_of_one_machine_share_the_default_id(make_client: MakeClient, truth: Truth) -> None:
    ours = start(make_client, 2, id=None)
    first, second = ours
    assert wait_one_holder(truth, ours) is first
    assert first.instance.id == second.instance.id
    assert first.instance.id.endswith(f"@{HOST}:8080")
    first.close()
    wait_role(second, "HELD")


def test_an_address_and_a_port_that_are_found_out_are_shared(make_client: MakeClient, truth: Truth) -> None:
    clients = [make_client(), make_client()]
    ours = {client.register("payments", 0, on_conflict="share"): client for client in clients}
    for registration in ours:
        registration.update(port=8080)
        registration.wait_registered(LIMIT)
    wait_one_holder(truth, ours)
    first, second = ours
    assert first.instance.netloc == second.instance.netloc


def test_a_holder_that_leaves_is_followed_in_one_transaction(make_client: MakeClient, truth: Truth, path: str) -> None:
    first, second = start(make_client, 2)
    with events(truth, path) as seen:
        began = time.monotonic()
        first.drain(delay=30.0)
        assert time.monotonic() - began < 10.0, "it has nothing to wait for"
        assert first.state is RegistrationState.CLOSED
        wait_role(second, "HELD")
        found = stored(truth, second)
    assert found == second.instance
    assert found.registered_at == first.instance.registered_at
    assert seen.items == ["DELETED", "CREATED"]


def test_a_standby_that_leaves_changes_nothing(make_client: MakeClient, truth: Truth, path: str, group: str) -> None:
    first, second = start(make_client, 2, drain_delay=30.0)
    before = truth.get(path)
    second.close()
    assert second.state is RegistrationState.CLOSED
    assert truth.get(path) == before
    assert len(truth.children(group)) == 1
    assert first.state is RegistrationState.REGISTERED


def test_the_last_one_drains(make_client: MakeClient, truth: Truth, path: str, group: str) -> None:
    ours = start(make_client, 3, drain_delay=0.3)
    with events(truth, path) as seen:
        for client in ours.values():
            seen.items.clear()
            client.close()
    assert seen.items == ["CHANGED", "DELETED"]
    assert truth.get(path) is None
    assert truth.children(group) == []


def test_all_leave_at_once_and_it_drains_once(make_client: MakeClient, truth: Truth, path: str) -> None:
    for _ in range(5):
        ours = start(make_client, 4)
        with events(truth, path) as seen:
            for registration in ours:
                registration._owned.begin_drain(0.2)
            for registration in ours:
                registration.close()
        assert seen.items.count("CHANGED") == 1
        assert seen.items[-1] == "DELETED"
        assert truth.get(path) is None


def test_a_newcomer_takes_over_from_one_that_drains(make_client: MakeClient, truth: Truth, path: str) -> None:
    (first,) = start(make_client, 1)
    assert first._owned.begin_drain(30.0)
    wait_stored(truth, path, lambda instance: instance.status is Status.DRAINING)
    second = share(make_client()).wait_registered(LIMIT)
    wait_role(second, "HELD")
    assert stored(truth, second).status is Status.UP
    wait_registration(first, RegistrationState.CLOSED)


def test_those_that_start_at_once_agree(make_client: MakeClient, truth: Truth, path: str) -> None:
    clients = [make_client().wait_connected(LIMIT) for _ in range(4)]
    for number in range(10):
        with events(truth, f"{path}-{number}") as seen:
            ours = {share(client, id=f"a-{number}"): client for client in clients}
            for registration in ours:
                registration.wait_registered(LIMIT)
            wait_one_holder(truth, ours)
            assert seen.items == ["CREATED"]
        for registration in ours:
            registration.close()


def test_the_holder_s_data_count(make_client: MakeClient, truth: Truth, path: str) -> None:
    first = share(make_client(), weight=1.0).wait_registered(LIMIT)
    second = share(make_client(), weight=2.0).wait_registered(LIMIT)
    second.update(metadata={"by": "second"})
    second.set_status("OUT_OF_SERVICE")
    second.wait_registered(LIMIT)
    first.update(version="1")
    first.wait_registered(LIMIT)
    found = stored(truth, first)
    assert (found.weight, found.version, found.metadata, found.status) == (1.0, "1", {}, Status.UP)
    first.close()
    wait_role(second, "HELD")
    found = stored(truth, second)
    assert (found.weight, found.version, found.status) == (2.0, None, Status.OUT_OF_SERVICE)
    assert found.metadata == {"by": "second"}
    second.set_status("UP")
    second.wait_registered(LIMIT)
    assert stored(truth, second).status is Status.UP


def test_an_operator_s_override_is_kept_over_take_overs(make_client: MakeClient, truth: Truth, path: str) -> None:
    operator = make_client()
    ours = start(make_client, 3)
    first, second, third = ours
    operator.override("payments", "a", status="DOWN", weight=3.0)
    for registration in ours:
        wait_until(lambda registration=registration: registration.instance.override is not None)
    first.close()
    wait_one_holder(truth, {second: ours[second], third: ours[third]})
    found = stored(truth, second)
    assert (found.status, found.weight) == (Status.DOWN, 3.0)
    operator.clear_override("payments", "a")
    for registration in (second, third):
        wait_until(lambda registration=registration: registration.instance.override is None)
    assert stored(truth, second).status is Status.UP


def test_only_the_holder_tells_of_an_override(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    ours = start(make_client, 3)
    make_client().override("payments", "a", weight=3.0)
    for registration in ours:
        wait_until(lambda registration=registration: registration.instance.override is not None)
    assert caplog.text.count("an operator has set") == 1


def test_one_that_is_not_ready_lets_others_go_first(make_client: MakeClient, truth: Truth, path: str) -> None:
    first = share(make_client()).wait_registered(LIMIT)
    warming = [share(make_client(), ready="manual").wait_registered(LIMIT) for _ in range(2)]
    ready = share(make_client()).wait_registered(LIMIT)
    with events(truth, path) as seen:
        first.close()
        wait_role(ready, "HELD")
        assert seen.items == ["DELETED", "CREATED"]
    ready.close()
    wait_until(lambda: any(node_of(registration).state == "HELD" for registration in warming))
    assert stored(truth, ready).status is Status.STARTING, "there is nobody else"


def test_what_others_do_costs_a_standby_little(make_client: MakeClient, truth: Truth, path: str) -> None:
    first, second = (ours := start(make_client, 2))
    wait_one_holder(truth, ours)
    with counting(ours[second]) as requests:
        start(make_client, 1)
        first.update(version="2")
        first.wait_registered(LIMIT)
        wait_until(lambda: requests["GetData"] >= 2)
        wait_role(second, "STANDBY")
    assert requests["Multi"] == requests["SetData"] == requests["Create"] == 0
    assert requests["GetChildren"] <= 1


def test_another_address_is_not_shared(
    make_client: MakeClient, truth: Truth, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    (first,) = start(make_client, 1)
    before = truth.get(path)
    other = share(make_client(session_timeout=2.0), 8081)
    wait_registration(other, RegistrationState.WAITING)
    wait_registration(other, RegistrationState.CONFLICT)
    assert f"processes at {HOST}:8080 of the machine" in str(other.error)
    assert f"while this is {HOST}:8081" in caplog.text
    assert truth.get(path) == before
    first.close()
    assert truth.get(path) is None, "it waits for nobody that is no mate"
    caplog.clear()
