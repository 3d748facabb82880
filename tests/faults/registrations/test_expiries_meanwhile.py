"""The session ends in the midst of something: what is wanted stands exactly once, what is not is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.helpers import (
    Expire,
    assert_ends,
    assert_stands,
    entries,
    in_background,
    once_before,
    wait_all,
)
from tests.integration.registration.helpers import on_submit, path_of, seen_to, stored, wait_stored
from tests.support import LIMIT, Truth, core_of, node_of, wait_epoch, wait_registration, wait_state
from zkdiscovery import Client, OperationTimeout, Registration, RegistrationState, State, Status
from zkdiscovery.session import Create, Multi
from zkdiscovery.session.requests import MultiRead, SetWatches
from zkdiscovery.testing import FaultProxy

FOREVER = 3600.0  # seconds


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client().wait_connected(LIMIT)


@pytest.mark.parametrize("at", [Create, Multi, SetWatches, MultiRead])
def test_expiry_during_a_registration(client: Client, truth: Truth, zkdiscovery_expire: Expire, at: type) -> None:
    """Curator: killed session; TestPersistentNode: no duplicate and no loss, whatever step it strikes."""
    with once_before(client, at, lambda: zkdiscovery_expire(client)):
        registration = client.register("payments", 8080, id="a")
        wait_epoch(client, 2)
        registration.wait_registered(LIMIT)
    seen_to(client, registration)
    assert_stands(truth, client, registration)


@pytest.mark.parametrize("at", [Multi, MultiRead])
def test_expiry_during_an_update(client: Client, truth: Truth, zkdiscovery_expire: Expire, at: type) -> None:
    """peers.md defect 5: what comes back is what was wanted last."""
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    with once_before(client, at, lambda: zkdiscovery_expire(client)):
        registration.update(version="2")
        registration.set_status(Status.DOWN)
        wait_epoch(client, 2)
        registration.wait_registered(LIMIT)
    seen_to(client, registration)
    instance = assert_stands(truth, client, registration) and stored(truth, registration)
    assert (instance.version, instance.status) == ("2", Status.DOWN)


@pytest.mark.parametrize("step", ["leaving", "end"])
def test_expiry_during_a_write_of_a_drain(client: Client, truth: Truth, zkdiscovery_expire: Expire, step: str) -> None:
    """Nothing is left of it, and its end does not wait for a time limit."""
    other = client.register("payments", 8081, id="other").wait_registered(LIMIT)
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    if step == "end":
        draining = in_background(lambda: registration.drain(delay=FOREVER))
        wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.DRAINING)
        assert node_of(registration).wait(lambda node: node.settled, LIMIT)
    with once_before(client, Multi, lambda: zkdiscovery_expire(client)):
        last = in_background(lambda: registration.drain(delay=0.0 if step == "end" else 0.01, timeout=LIMIT))
        wait_epoch(client, 2)
    assert_ends(last, *([draining] if step == "end" else []))
    assert registration.state is RegistrationState.CLOSED
    seen_to(client, other)
    assert stored(truth, registration) is None
    assert_stands(truth, client, other)


def test_expiry_within_the_delay_of_a_drain(client: Client, truth: Truth, zkdiscovery_expire: Expire) -> None:
    """It comes back as DRAINING, so that calls under way can end, and leaves when the delay is over."""
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    draining = in_background(lambda: registration.drain(delay=FOREVER))
    wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.DRAINING)
    zkdiscovery_expire(client)
    wait_epoch(client, 2)
    wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.DRAINING)
    registration.drain(delay=0.0)
    assert_ends(draining)
    assert stored(truth, registration) is None


@pytest.mark.parametrize("ending", [Registration.close, Client.close], ids=["the registration", "the client"])
def test_expiry_during_a_close(
    client: Client, truth: Truth, zkdiscovery_expire: Expire, ending: Callable[..., None]
) -> None:
    """Curator: killed session then close. Nothing comes back after the end."""
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    with once_before(client, Multi, lambda: zkdiscovery_expire(client)):
        closing = in_background(lambda: ending(registration if ending is Registration.close else client))
        assert_ends(closing)
    assert registration.state is RegistrationState.CLOSED
    if ending is Registration.close:
        wait_epoch(client, 2)
        client.register("payments", 8081, id="b").wait_registered(LIMIT)  # the worker has passed the first one since
    assert stored(truth, registration) is None


@pytest.mark.parametrize("at", [Multi, SetWatches, MultiRead])
def test_expiry_during_the_registration_of_500(
    client: Client, truth: Truth, namespace: str, zkdiscovery_expire: Expire, at: type
) -> None:
    """All stand once, in a handful of requests."""
    client.register("payments", 8080, id="first").wait_registered(LIMIT)

    def strike() -> None:
        zkdiscovery_expire(client)
        # The client has noticed. A large request that was sent before it does would make the next ones smaller.
        wait_epoch(client, 2)

    with once_before(client, at, strike) as requests:
        many = client.register_many(entries(500))
        wait_epoch(client, 2)
        wait_all(many)
        seen_to(client, *many)
    assert requests["Multi"] <= 4
    assert len(truth.children(f"{namespace}/services/payments")) == 501
    for registration in (many[0], many[-1]):
        assert_stands(truth, client, registration)
    owners = {truth.get(path_of(each)).stat.ephemeral_owner for each in many[::50]}
    assert owners == {core_of(client).session.session_id}


def test_expiry_while_it_replaces_somebody(
    client: Client, make_client: MakeClient, truth: Truth, zkdiscovery_expire: Expire
) -> None:
    """It had not got the id yet, so that it still replaces whoever has it; who had it stands back."""
    first = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    writes: list[int] = []

    def strike(request: object) -> None:
        if isinstance(request, Multi):
            writes.append(len(request.operations))
            if len(writes) == 2:  # the first one met the owner
                zkdiscovery_expire(client)

    with on_submit(client, strike):
        second = client.register("payments", 8081, id="a")
        wait_epoch(client, 2)
        second.wait_registered(LIMIT)
    assert writes[:2] == [1, 3]
    wait_registration(first, RegistrationState.CONFLICT)
    assert_stands(truth, client, second)


@pytest.mark.parametrize("at", [Multi, MultiRead])
def test_closing_while_re_registration_runs_leaves_no_zombie(
    client: Client, truth: Truth, namespace: str, zkdiscovery_expire: Expire, at: type
) -> None:
    """peers.md defect 4: unregistering while re-registration runs leaves a zombie."""
    kept, closed = (client.register("payments", 8080, id=name).wait_registered(LIMIT) for name in ("kept", "closed"))
    threads: list[object] = []
    with once_before(client, at, lambda: threads.append(in_background(closed.close))):
        zkdiscovery_expire(client)
        wait_epoch(client, 2)
        wait_registration(closed, RegistrationState.CLOSED)
    assert_ends(*threads)  # type: ignore[arg-type]
    seen_to(client, kept)
    assert truth.children(f"{namespace}/services/payments") == ["kept"]
    assert_stands(truth, client, kept)


def test_expiries_in_a_row_leave_one_node_each(
    client: Client, truth: Truth, namespace: str, zkdiscovery_expire: Expire
) -> None:
    """kazoo #491: ephemerals are never made again. peers.md defect 8: one duplicate for each reconnect.

    Curator: TestPersistentNode, recreated after each of several expiries; here they strike while it is made again.
    """
    many = client.register_many(entries(20))
    for epoch in (2, 4, 6):
        wait_all(many)
        seen_to(client, *many)
        with once_before(client, Multi, lambda: zkdiscovery_expire(client)):
            zkdiscovery_expire(client)
            wait_epoch(client, epoch + 1)
    wait_all(many)
    seen_to(client, *many)
    assert len(truth.children(f"{namespace}/services/payments")) == 20
    for registration in many:
        assert_stands(truth, client, registration)


def test_an_operator_s_word_during_an_outage_outlasts_the_expiry_after_it(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, zkdiscovery_expire: Expire
) -> None:
    """Curator: data changed while disconnected. What the owner read before its session ended, it keeps."""
    owner = make_client(zkdiscovery_proxy.address)
    operator = make_client()
    registration = owner.register("payments", 8080, id="a").wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_state(owner, State.SUSPENDED)
    operator.override("payments", "a", status=Status.OUT_OF_SERVICE, weight=3.0)
    zkdiscovery_proxy.heal()
    assert node_of(registration).wait(lambda _: registration.instance.status is Status.OUT_OF_SERVICE, LIMIT)
    zkdiscovery_expire(owner)
    wait_epoch(owner, 2)
    wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.OUT_OF_SERVICE)
    registration.wait_registered(LIMIT)
    assert assert_stands(truth, owner, registration)
    assert registration.instance.weight == 3.0


def test_what_was_lost_with_its_session_is_not_taken_for_registered(client: Client, zkdiscovery_expire: Expire) -> None:
    """Asked on the new connection, before the keeper has come to it."""
    registration = client.register("payments", 8080, host="127.0.0.1").wait_registered(LIMIT)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        release.wait(LIMIT)

    core_of(client).nodes._worker.schedule("hold", hold)
    assert held.wait(LIMIT)
    try:
        zkdiscovery_expire(client)
        wait_epoch(client, 2)
        with pytest.raises(OperationTimeout):
            registration.wait_registered(0.1)
    finally:
        release.set()
    registration.wait_registered(LIMIT)
    assert [instance.id for instance in client.instances("payments", LIMIT)] == [registration.instance.id]
