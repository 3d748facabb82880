"""Registrations over expiries, lost connections, and without any server."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.child import Child
from tests.integration.registration.helpers import HOST, events, on_submit, path_of, seen_to, stored, within
from tests.integration.registration.test_registration_conflicts import REGISTRANT
from tests.support import LIMIT, Truth, core_of, counting, node_of, wait_epoch, wait_registration, wait_state, wait_view
from zkdiscovery import Client, OperationTimeout, RegistrationState, Settings, State, Status
from zkdiscovery.session import Create
from zkdiscovery.session.requests import MultiRead, SetWatches
from zkdiscovery.testing import FaultProxy, ZookeeperServer
from zkdiscovery.testing.ports import free_port

AT_ONCE = 2.0  # seconds: much less than any of the time limits that a call could wait for

Expire = Callable[[Client], None]


def test_another_process_is_seen_and_vanishes_after_its_session(
    make_client: MakeClient, zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    view = make_client().discover("payments")
    with Child(REGISTRANT, zkdiscovery_server.hosts, namespace, "1", "8080") as child:
        registered_at = float(child.wait_line("registered"))
        (instance,) = wait_view(view, lambda snapshot: len(snapshot) == 1)
        assert (instance.id, instance.port, instance.registered_at) == ("a", 8080, registered_at)
        child.kill()
        wait_view(view, lambda snapshot: len(snapshot) == 0)


def test_another_process_that_ends_well_is_gone_at_once(
    make_client: MakeClient, zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    view = make_client().discover("payments")
    with Child(REGISTRANT, zkdiscovery_server.hosts, namespace, "40", "8080") as child:
        child.wait_line("registered")
        wait_view(view, lambda snapshot: len(snapshot) == 1)
        assert child.wait() == 0
        wait_view(view, lambda snapshot: len(snapshot) == 0)


def test_each_expiry_brings_it_back_exactly_once(
    make_client: MakeClient, truth: Truth, zkdiscovery_expire: Expire
) -> None:
    client = make_client()
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    first = registration.instance
    registration.update(version="2")
    registration.wait_registered(LIMIT)
    with events(truth, path_of(registration)) as seen:
        for epoch in (2, 3, 4):
            zkdiscovery_expire(client)
            wait_epoch(client, epoch)
            seen_to(client, registration)
            registration.wait_registered(LIMIT)
            assert stored(truth, registration) == first.with_(version="2")
            assert truth.get(path_of(registration)).stat.ephemeral_owner == core_of(client).session.session_id
    assert seen.items == ["DELETED", "CREATED"] * 3


def test_all_come_back_but_for_those_that_are_refused(
    zkdiscovery_proxy: FaultProxy,
    make_client: MakeClient,
    truth: Truth,
    namespace: str,
    zkdiscovery_expire: Expire,
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    ours = client.register_many([{"service": f"service-{n}", "port": 8080, "id": "a"} for n in range(5)])
    for registration in ours:
        registration.wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    zkdiscovery_expire(client)
    # One path is taken, one parent is a file in the way.
    truth.create(f"{namespace}/services/service-1/a", ephemeral=True)
    truth.wait(path_of(ours[3]), lambda node: node is None)
    truth.delete(f"{namespace}/services/service-3")
    truth.create(f"{namespace}/services/service-3", ephemeral=True)
    zkdiscovery_proxy.heal()
    wait_epoch(client, 2)
    for number in (0, 2, 4):
        wait_registration(ours[number], RegistrationState.REGISTERED)
        seen_to(client, ours[number])
        assert stored(truth, ours[number]) == ours[number].instance
    wait_registration(ours[1], RegistrationState.CONFLICT)
    assert node_of(ours[3]).wait(lambda node: node.error is not None, LIMIT)
    truth.delete(f"{namespace}/services/service-3")
    wait_registration(ours[3], RegistrationState.REGISTERED)


def test_what_was_changed_during_an_outage_stands_after_it(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, zkdiscovery_expire: Expire
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    for expiry in (False, True):
        zkdiscovery_proxy.refuse()
        wait_state(client, State.SUSPENDED)
        version = f"2-{expiry}"
        within(AT_ONCE, lambda version=version: registration.update(version=version))
        within(AT_ONCE, lambda: registration.set_status(Status.DOWN))
        if expiry:
            zkdiscovery_expire(client)
        zkdiscovery_proxy.heal()
        registration.wait_registered(LIMIT)
        instance = stored(truth, registration)
        assert (instance.version, instance.status) == (version, Status.DOWN)


def test_a_reconnect_within_the_session_reads_once_and_writes_nothing(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    ours = client.register_many([{"service": "payments", "port": port, "host": HOST} for port in range(1, 101)])
    for registration in ours:
        registration.wait_registered(LIMIT)
    seen_to(client, *ours)
    session = core_of(client).session
    for _ in range(3):
        generation = session.generation
        with counting(client) as requests:
            zkdiscovery_proxy.drop()
            with session.changed:
                assert session.changed.wait_for(lambda seen=generation: session.generation > seen, LIMIT)
            seen_to(client, *ours)
            assert requests == {"SetWatches": 1, "MultiRead": 1}
    assert session.epoch == 1
    assert {registration.state for registration in ours} == {RegistrationState.REGISTERED}


def test_nothing_blocks_without_a_server(make_client: MakeClient) -> None:
    client = make_client(f"127.0.0.1:{free_port()}")
    registration = within(AT_ONCE, lambda: client.register("payments", 8080, id="a"))
    assert registration.state is RegistrationState.PENDING
    assert registration.error is None
    within(AT_ONCE, lambda: registration.update(version="2"))
    within(AT_ONCE, lambda: registration.set_status(Status.DOWN))
    with pytest.raises(OperationTimeout, match=r"'a' of 'payments' is not registered within 0.05 s \(PENDING\): "):
        registration.wait_registered(0.05)
    # It was never on its way, so there is nothing to wait for.
    within(AT_ONCE, lambda: registration.close(timeout=60.0))
    assert registration.state is RegistrationState.CLOSED
    many = within(
        AT_ONCE, lambda: client.register_many([{"service": "s", "port": port, "host": HOST} for port in range(1, 500)])
    )
    within(AT_ONCE, lambda: client.close(timeout=60.0))
    assert {one.state for one in many} == {RegistrationState.CLOSED}


def test_a_server_that_comes_later_has_what_is_wanted_then(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    zkdiscovery_proxy.refuse()
    client = make_client(zkdiscovery_proxy.address)
    kept, dropped = (client.register("payments", 8080, id=name) for name in "ab")
    kept.update(version="2")
    dropped.close()
    zkdiscovery_proxy.heal()
    kept.wait_registered(LIMIT)
    assert truth.children(f"{namespace}/services/payments") == ["a"]
    assert stored(truth, kept).version == "2"


def test_closed_while_its_creation_is_under_way(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    seen_to(client, client.register("payments", 8080, id="other").wait_registered(LIMIT))
    zkdiscovery_proxy.half_open("client_to_server")  # no answer comes
    registration = client.register("payments", 8081, id="a")
    truth.wait(path_of(registration), lambda node: node is not None)
    closing = threading.Thread(target=registration.close, args=(LIMIT,))
    closing.start()
    wait_registration(registration, RegistrationState.DRAINING)
    zkdiscovery_proxy.heal()
    closing.join(LIMIT)
    assert not closing.is_alive()
    assert registration.state is RegistrationState.CLOSED
    assert stored(truth, registration) is None


def test_closed_before_its_creation_was_sent(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    other = client.register("payments", 8080, id="other").wait_registered(LIMIT)
    seen_to(client, other)
    zkdiscovery_proxy.pause()
    registration = client.register("payments", 8081, id="a")
    with pytest.raises(OperationTimeout):
        registration.wait_registered(0.05)
    registration.close(timeout=0.05)
    assert registration.state is RegistrationState.CLOSED
    zkdiscovery_proxy.heal()
    assert node_of(registration).wait(lambda node: node.settled, LIMIT)
    other.update(version="2")
    other.wait_registered(LIMIT)
    assert stored(truth, registration) is None


@pytest.mark.parametrize("expires", [False, True], ids=["the session lives on", "the session expires"])
def test_closed_while_the_outcome_of_its_creation_is_unknown(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, zkdiscovery_expire: Expire, expires: bool
) -> None:
    client = make_client(zkdiscovery_proxy.address, session_timeout=20.0)
    other = client.register("payments", 8080, id="other").wait_registered(LIMIT)
    seen_to(client, other)
    zkdiscovery_proxy.half_open("client_to_server")
    registration = client.register("payments", 8081, id="a")
    truth.wait(path_of(registration), lambda node: node is not None)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    registration.close(timeout=0.05)
    assert registration.state is RegistrationState.CLOSED
    assert stored(truth, registration) is not None  # nobody can be told
    if expires:
        zkdiscovery_expire(client)
    zkdiscovery_proxy.heal()
    truth.wait(path_of(registration), lambda node: node is None)
    wait_epoch(client, 2 if expires else 1)
    seen_to(client, other)
    assert stored(truth, other) == other.instance
    assert stored(truth, registration) is None


def test_an_id_closed_in_an_outage_and_registered_again_stands(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    first = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    first.close(timeout=0.05)
    second = client.register("payments", 8081, id="a")
    zkdiscovery_proxy.heal()
    second.wait_registered(LIMIT)
    assert node_of(first).wait(lambda node: node.settled, LIMIT)
    second.wait_registered(LIMIT)
    assert stored(truth, second).port == 8081


def test_a_lost_answer_to_a_creation_is_settled_by_a_look(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    seen_to(client, client.register("payments", 8080, id="other").wait_registered(LIMIT))
    zkdiscovery_proxy.half_open("client_to_server")
    registration = client.register("payments", 8081, id="a")
    created = truth.wait(path_of(registration), lambda node: node is not None)
    assert created is not None
    with counting(client) as requests:
        zkdiscovery_proxy.drop()
        zkdiscovery_proxy.heal()
        registration.wait_registered(LIMIT)
    # The server may lag behind the one that answered last, so it catches up before the look; nothing is written.
    assert (requests["Sync"], requests["Multi"]) == (1, 0)
    assert truth.get(path_of(registration)).stat.czxid == created.stat.czxid


def test_closed_between_its_creation_and_the_look_at_it(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    seen_to(client, client.register("payments", 8080, id="other").wait_registered(LIMIT))

    def cut(request: object) -> None:
        if isinstance(request, SetWatches):
            zkdiscovery_proxy.refuse()

    with on_submit(client, cut):
        registration = client.register("payments", 8081, id="a")
        registration.wait_registered(LIMIT)  # for its creation has been answered
        wait_state(client, State.SUSPENDED)
    assert stored(truth, registration) is not None
    registration.close(timeout=0.05)
    zkdiscovery_proxy.heal()
    truth.wait(path_of(registration), lambda node: node is None)


def test_a_cut_while_the_parent_is_made_is_no_refusal(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    errors: list[object] = []

    def cut(request: object) -> None:
        if isinstance(request, Create):
            zkdiscovery_proxy.refuse()

    with on_submit(client, cut):
        registration = client.register("payments", 8080, id="a")
        registration.on_change(lambda changed: errors.append(changed.error))
        wait_state(client, State.SUSPENDED)
    zkdiscovery_proxy.heal()
    registration.wait_registered(LIMIT)
    registration.close()
    assert stored(truth, registration) is None
    assert set(errors) <= {None}


def test_what_could_not_be_looked_at_is_looked_at_again(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    client = make_client(zkdiscovery_proxy.address, settings=Settings(operation_timeout=0.2))
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    seen_to(client, registration)
    ours = truth.get(path_of(registration)).data
    looks: list[object] = []

    def stall_once(request: object) -> None:
        if isinstance(request, MultiRead):
            looks.append(request)
            if len(looks) == 1:
                zkdiscovery_proxy.pause()
            else:
                zkdiscovery_proxy.heal()

    with on_submit(client, stall_once):
        truth.set(path_of(registration), b"garbage")
        truth.wait(path_of(registration), lambda node: node is not None and node.data == ours)
    assert core_of(client).session.generation == 1


def test_a_leftover_of_an_own_earlier_session_is_replaced_on_a_re_creation(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, zkdiscovery_expire: Expire
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    zkdiscovery_expire(client)
    truth.create(path_of(registration), b"left behind", ephemeral=True)
    core_of(client).nodes.session_ids.add(truth.session.session_id)  # as if it had been ours
    zkdiscovery_proxy.heal()
    wait_epoch(client, 2)
    registration.wait_registered(LIMIT)
    seen_to(client, registration)
    assert registration.state is RegistrationState.REGISTERED
    assert stored(truth, registration) == registration.instance


def test_a_lost_answer_to_an_update_is_no_foreign_write(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    adopted: list[bytes] = []
    node_of(registration).on_foreign_write = adopted.append
    seen_to(client, registration)
    zkdiscovery_proxy.half_open("client_to_server")
    registration.update(version="2")
    truth.wait(path_of(registration), lambda node: node is not None and node.stat.version == 1)
    zkdiscovery_proxy.drop()
    zkdiscovery_proxy.heal()
    registration.wait_registered(LIMIT)
    assert adopted == []
    assert truth.get(path_of(registration)).stat.version == 1


def test_a_restarted_server_has_it_back(
    zkdiscovery_server: ZookeeperServer, make_client: MakeClient, truth: Truth
) -> None:
    registration = make_client(session_timeout=10.0).register("payments", 8080, id="a").wait_registered(LIMIT)
    zkdiscovery_server.kill()
    registration.update(version="2")
    zkdiscovery_server.restart()
    registration.wait_registered(LIMIT)
    truth.session.wait_connected(LIMIT)
    assert stored(truth, registration).version == "2"
