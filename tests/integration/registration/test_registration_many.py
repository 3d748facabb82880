"""Many registrations of one client: few requests, and no neighbour suffers for another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import HOST, lock_service, path_of, seen_to, stored, within
from tests.support import LIMIT, Truth, counting, wait_epoch, wait_registration
from zkdiscovery import AccessDenied, Client, NodeNotEmpty, Registration, RegistrationState
from zkdiscovery.registration import Options
from zkdiscovery.session import Delete, Multi
from zkdiscovery.testing import FaultProxy

MANY = 1000


def entries(service: str = "payments", count: int = MANY) -> list[Options]:
    return [{"service": service, "port": port, "host": HOST, "id": f"{HOST}:{port}"} for port in range(1, count + 1)]


def wait_all(registrations: list[Registration]) -> None:
    for registration in registrations:
        registration.wait_registered(LIMIT)


def test_a_thousand_take_a_handful_of_requests(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    seen_to(client, client.register("payments", 8080, id="first").wait_registered(LIMIT))
    with counting(client) as requests:
        many = client.register_many(entries())
        wait_all(many)
        seen_to(client, *many)
    assert requests == {"Multi": 2, "SetWatches": 2, "MultiRead": 2}
    assert len(truth.children(f"{namespace}/services/payments")) == MANY + 1
    assert stored(truth, many[-1]) == many[-1].instance


def test_a_thousand_leave_in_a_handful_of_transactions(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    many = client.register_many(entries())
    wait_all(many)
    seen_to(client, *many)
    with counting(client) as requests:
        client.close()
    # The worker may take the first ones before the last one is told to leave.
    assert requests["Multi"] <= 10
    assert requests["MultiRead"] + requests["GetData"] + requests["Delete"] == 0
    assert truth.children(f"{namespace}/services/payments") == []


def test_a_thousand_come_back_after_an_expiry_in_a_handful_of_requests(
    make_client: MakeClient, truth: Truth, namespace: str, zkdiscovery_expire: Callable[[Client], None]
) -> None:
    client = make_client(session_timeout=10.0)  # each silence of a third of it would cost a connection and its reads
    many = client.register_many(entries())
    wait_all(many)
    seen_to(client, *many)
    with counting(client) as requests:
        zkdiscovery_expire(client)
        wait_epoch(client, 2)
        seen_to(client, *many)
        wait_all(many)
    assert requests == {"Multi": 2, "SetWatches": 2, "MultiRead": 2}
    assert len(truth.children(f"{namespace}/services/payments")) == MANY


def test_a_thousand_leftovers_are_replaced_in_a_handful_of_requests(make_client: MakeClient, truth: Truth) -> None:
    wait_all(make_client().register_many(entries()))
    client = make_client()
    client.wait_connected(LIMIT)
    with counting(client) as requests:
        many = client.register_many([{**entry, "version": "2"} for entry in entries()])
        wait_all(many)
    assert sum(requests.values()) <= 12, requests
    assert {stored(truth, one).version for one in (many[0], many[-1])} == {"2"}


def test_the_neighbours_of_refused_ones_are_registered(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    services = f"{namespace}/services"
    truth.create(f"{services}/payments/{HOST}:7/child")
    truth.create(f"{services}/payments/{HOST}:9", b"somebody's", ephemeral=True)
    lock_service(truth, namespace, "locked")
    client = make_client()
    many = client.register_many([*entries(count=600), *entries("locked", 3), *entries("refunds", 3)])
    wrong = {path_of(many[6]): NodeNotEmpty} | {path_of(one): AccessDenied for one in many[600:603]}
    for registration in many:
        expected = wrong.get(path_of(registration))
        if expected is None:
            registration.wait_registered(LIMIT)
        else:
            with pytest.raises(expected):
                registration.wait_registered(LIMIT)
            assert registration.state is RegistrationState.PENDING
    assert len(truth.children(f"{services}/payments")) == 600
    assert truth.children(f"{services}/locked") == []
    assert len(truth.children(f"{services}/refunds")) == 3

    # What is refused for good does not hinder others later on.
    client.register("refunds", 9999, id="late").wait_registered(LIMIT)
    for registration in many:
        registration.close()
    assert truth.children(f"{services}/payments") == [f"{HOST}:7"]


def test_conflicts_in_one_batch_stay_with_those_concerned(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    services = f"{namespace}/services"
    for port in (3, 4):
        truth.create(f"{services}/payments/{HOST}:{port}", b"somebody's", ephemeral=True)
    client = make_client()
    options = entries(count=6)
    options[2]["on_conflict"] = "refuse"
    options[3]["on_conflict"] = "wait"
    many = client.register_many(options)
    wait_registration(many[2], RegistrationState.CONFLICT)
    wait_registration(many[3], RegistrationState.WAITING)
    for registration in (*many[:2], *many[4:]):
        wait_registration(registration, RegistrationState.REGISTERED)
    assert truth.get(path_of(many[2])).data == truth.get(path_of(many[3])).data == b"somebody's"


def test_a_parent_reaped_in_between_is_made_again(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    for _ in range(3):
        with client.register("payments", 8080, id="a") as registration:
            registration.wait_registered(LIMIT)
        for path in ("services/payments", "services", ""):
            truth.delete(f"{namespace}/{path}".rstrip("/"))


def test_a_parent_deleted_under_a_live_one_is_made_again(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    czxid = truth.get(path_of(registration)).stat.czxid
    parent = f"{namespace}/services/payments"
    truth.call(Multi([Delete(f"{parent}/a"), Delete(parent)]))
    restored = truth.wait(path_of(registration), lambda node: node is not None and node.stat.czxid != czxid)
    assert restored is not None


def test_closing_takes_its_time_limit_for_all_of_them(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    many = client.register_many(entries(count=50))
    wait_all(many)
    zkdiscovery_proxy.refuse()
    within(5.0, lambda: client.close(timeout=0.5))
    assert {one.state for one in many} == {RegistrationState.CLOSED}
    late = [record for record in caplog.records if "vanish with the session" in record.getMessage()]
    assert len(late) == 1
