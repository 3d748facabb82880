"""Deregistration: DRAINING first, for as long as was asked for, then gone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import HOST, events, path_of, stored, wait_stored, within
from tests.support import LIMIT, Truth, core_of, counting, node_of, wait_registration, wait_state, wait_view
from zkdiscovery import Client, InvalidInstance, Registration, RegistrationState, State, Status
from zkdiscovery.testing import FaultProxy

FOREVER = 3600.0  # seconds
AT_ONCE = 2.0  # seconds: much less than any of the delays


def in_background(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def ended(*threads: threading.Thread) -> bool:
    for thread in threads:
        thread.join(LIMIT)
    return not any(thread.is_alive() for thread in threads)


def test_a_deregistration_without_delay_is_one_transaction(make_client: MakeClient, truth: Truth) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    with events(truth, path_of(registration)) as seen:
        registration.close()
        assert stored(truth, registration) is None
    assert seen.items == ["CHANGED", "DELETED"]


def test_draining_is_seen_before_the_end(make_client: MakeClient, truth: Truth) -> None:
    view = make_client().discover("payments")
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    view.wait_ready(LIMIT)
    with events(truth, path_of(registration)) as seen:
        drained = in_background(lambda: registration.drain(delay=0.2))
        snapshot = wait_view(view, lambda snapshot: not view.available)
        assert [instance.status for instance in snapshot] == [Status.DRAINING]
        assert registration.state is RegistrationState.DRAINING
        wait_view(view, lambda snapshot: len(snapshot) == 0)
        assert ended(drained)
        assert stored(truth, registration) is None
    assert seen.items == ["CHANGED", "DELETED"]


def test_the_first_whose_delay_is_over_leaves_for_all(make_client: MakeClient, truth: Truth) -> None:
    registration = make_client().register("payments", 8080, id="a", drain_delay=FOREVER).wait_registered(LIMIT)
    patient = [in_background(registration.drain), in_background(registration.close)]
    wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.DRAINING)
    registration.drain(delay=0.0)
    assert ended(*patient)
    assert stored(truth, registration) is None


def test_a_second_drain_does_not_cut_the_first_one_short(make_client: MakeClient, truth: Truth) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    first = in_background(lambda: registration.drain(delay=0.5))
    wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.DRAINING)
    second = in_background(lambda: registration.drain(delay=FOREVER))
    with events(truth, path_of(registration)) as seen:
        assert ended(first, second)
        assert stored(truth, registration) is None
    assert seen.items == ["DELETED"]


def test_what_does_not_stand_in_zookeeper_has_nobody_to_wait_for(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient
) -> None:
    zkdiscovery_proxy.refuse()
    registration = make_client(zkdiscovery_proxy.address).register("payments", 8080, drain_delay=FOREVER)
    within(AT_ONCE, registration.close)
    assert registration.state is RegistrationState.CLOSED


def test_a_status_is_final_while_it_drains(make_client: MakeClient, truth: Truth) -> None:
    operator = make_client()
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    in_background(lambda: registration.drain(delay=FOREVER))
    wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.DRAINING)
    operator.override("payments", "a", status=Status.UP)
    wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.DRAINING)
    assert registration.instance.status is Status.DRAINING
    registration.drain(delay=0.0)


def test_an_overridden_instance_deregisters_too(make_client: MakeClient, truth: Truth) -> None:
    operator = make_client()
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    operator.override("payments", "a", status=Status.UP, weight=5.0)
    assert node_of(registration).wait(lambda _: registration.instance.weight == 5.0, LIMIT)
    in_background(lambda: registration.drain(delay=FOREVER))
    wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.DRAINING)
    registration.drain(delay=0.0)
    assert stored(truth, registration) is None


@pytest.mark.parametrize("delay", [-1.0, float("nan"), "1", True, 1e9], ids=str)
def test_a_delay_out_of_range_is_refused(make_client: MakeClient, delay: object) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    with pytest.raises(InvalidInstance, match="delay must be seconds"):
        registration.drain(delay=delay)  # type: ignore[arg-type]
    assert registration.state is RegistrationState.REGISTERED


def all_drain(truth: Truth, registrations: list[Registration]) -> None:
    for registration in registrations:
        wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.DRAINING)


def test_closing_the_client_drains_all_side_by_side(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    many = [
        client.register("payments", port, host=HOST, drain_delay=0.5 + port / 100).wait_registered(LIMIT)
        for port in range(1, 21)
    ]
    closing = in_background(lambda: client.close(timeout=LIMIT))
    all_drain(truth, many)
    closing.join(5.0)  # one after the other they would take more than ten seconds
    assert not closing.is_alive()
    assert truth.children(f"{namespace}/services/payments") == []


def test_each_leaves_after_its_own_delay(make_client: MakeClient, truth: Truth) -> None:
    client = make_client()
    late = client.register("payments", 1, host=HOST, drain_delay=FOREVER).wait_registered(LIMIT)
    soon = client.register("payments", 2, host=HOST, drain_delay=0.1).wait_registered(LIMIT)
    closing = in_background(lambda: client.close(timeout=LIMIT))
    truth.wait(path_of(soon), lambda node: node is None)
    assert stored(truth, late).status is Status.DRAINING
    late.drain(delay=0.0)
    assert ended(closing)


def test_the_client_s_time_limit_cuts_delays_short_and_leaves_in_time(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    client = make_client(session_timeout=10.0)
    many = [client.register("payments", port, host=HOST, drain_delay=FOREVER) for port in (1, 2)]
    for registration in many:
        registration.wait_registered(LIMIT)
    session_id = core_of(client).session.session_id
    with events(truth, path_of(many[0])) as seen:
        closing = in_background(lambda: client.close(timeout=1.0))
        all_drain(truth, many)
        closing.join(3.0)
        assert not closing.is_alive()
        assert truth.children(f"{namespace}/services/payments") == []
    # They left by themselves, and the session was ended in order, so that nothing waits for its time-out.
    assert seen.items == ["CHANGED", "DELETED"]
    assert session_id
    assert client.state is State.CLOSED


def test_closing_the_client_ends_a_drain_that_goes_on(make_client: MakeClient, truth: Truth) -> None:
    client = make_client()
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    drained = in_background(lambda: registration.drain(delay=FOREVER))
    wait_registration(registration, RegistrationState.DRAINING)
    within(AT_ONCE, client.close)
    assert ended(drained)
    assert stored(truth, registration) is None


def test_draining_while_disconnected_leaves_after_the_reconnect(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    client: Client = make_client(zkdiscovery_proxy.address)
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    with counting(client) as requests:
        drained = in_background(lambda: registration.drain(delay=0.01, timeout=LIMIT))
        wait_registration(registration, RegistrationState.DRAINING)
        zkdiscovery_proxy.heal()
        assert ended(drained)
    assert stored(truth, registration) is None
    assert requests["Multi"] == 2  # the delay began when DRAINING had been written
