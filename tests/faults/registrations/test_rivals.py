"""Two live processes with one id: they never fight, and neither harms the other by leaving."""

from __future__ import annotations

import signal

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.helpers import Expire, assert_ends, assert_stands, in_background, once_before
from tests.integration.child import Child
from tests.integration.registration.helpers import events, path_of, seen_to, stored, wait_stored
from tests.integration.registration.test_registration_conflicts import REGISTRANT
from tests.support import LIMIT, Truth, core_of, node_of, wait_epoch, wait_registration
from zkdiscovery import Client, Registration, RegistrationState
from zkdiscovery.session import Multi
from zkdiscovery.testing import FaultProxy, ZookeeperServer, expire_session
from zkdiscovery.threads import run_steps
from zkdiscovery.znodes.writes import MOST_RAISED


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/services/payments/a"


@pytest.mark.parametrize("leaving", ["at once", "DRAINING was written", "overridden unseen"])
@pytest.mark.parametrize("updates", [0, 1, 5, MOST_RAISED + 1])
def test_leaving_in_the_moment_of_being_replaced_spares_the_successor(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, updates: int, leaving: str
) -> None:
    """kazoo.md: a deletion by version does not tell incarnations apart, for a recreated node has version 0 again."""
    client = make_client(zkdiscovery_proxy.address)
    first = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    for number in range(updates):
        first.update(version=str(number))
        first.wait_registered(LIMIT)
    if leaving == "DRAINING was written":
        in_background(lambda: first.drain(delay=3600.0))
        assert node_of(first).wait(lambda node: first._owned.leaving and node.settled, LIMIT)
    seen_to(client, first)
    zkdiscovery_proxy.half_open("client_to_server")  # what it sends is executed; no news comes
    if leaving == "overridden unseen":
        make_client().override("payments", "a", weight=3.0)
    second = make_client().register("payments", 8081, id="a").wait_registered(LIMIT)
    before = truth.get(path_of(second))
    assert before is not None
    with once_before(client, Multi, lambda: None) as requests:
        leaving = in_background(lambda: first.drain(delay=0.0, timeout=LIMIT))
    zkdiscovery_proxy.heal()  # the deletion is on its way
    assert_ends(leaving)
    assert requests["Multi"] == 1
    assert truth.get(path_of(second)) == before
    assert second.state is RegistrationState.REGISTERED


def test_leaving_just_after_being_replaced_is_no_conflict(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, caplog: pytest.LogCaptureFixture
) -> None:
    """Who leaves has nothing to reclaim: nobody is told to stop one of the two."""
    client = make_client(zkdiscovery_proxy.address)
    first = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    seen_to(client, first)
    zkdiscovery_proxy.pause()
    second_client = make_client()
    second = second_client.register("payments", 8081, id="a").wait_registered(LIMIT)
    first._owned.leaving = True
    first._owned.leave()
    zkdiscovery_proxy.heal()
    assert run_steps(first._owned.going(LIMIT))
    assert "belongs to another owner" not in caplog.text
    assert_stands(truth, second_client, second)


@pytest.mark.parametrize("on_conflict", ["replace", "wait", "refuse"])
def test_two_live_processes_that_both_flap_never_fight(
    make_client: MakeClient, truth: Truth, path: str, zkdiscovery_expire: Expire, on_conflict: str
) -> None:
    """peers.md defect 5. One stands, the other stands back, whichever loses its session how often."""
    clients = make_client(), make_client()
    first = clients[0].register("payments", 8080, id="a", on_conflict=on_conflict).wait_registered(LIMIT)
    second = clients[1].register("payments", 8081, id="a", on_conflict=on_conflict)
    back = RegistrationState.WAITING if on_conflict == "wait" else RegistrationState.CONFLICT
    if on_conflict == "replace":
        second.wait_registered(LIMIT)
    wait_registration(first if on_conflict == "replace" else second, back)
    ours = dict(zip((first, second), clients, strict=True))
    with events(truth, path) as seen:
        for epoch in (2, 3, 4):
            for client in clients:
                zkdiscovery_expire(client)
                wait_epoch(client, epoch)
            holder = _settled(ours, back)
            assert_stands(truth, ours[holder], holder)
    # Each expiry costs at most one deletion and one creation: nobody was replaced.
    assert seen.items.count("CREATED") <= 6
    assert seen.items.count("CREATED") == seen.items.count("DELETED")
    assert "CHANGED" not in seen.items


def _settled(ours: dict[Registration, Client], back: RegistrationState) -> Registration:
    """The one that stands, once the other stands back."""
    first, second = ours
    registered = RegistrationState.REGISTERED

    def settled(_: object) -> bool:
        # After an expiry the state may be that of the session before, until the worker comes to it.
        return {first.state, second.state} == {registered, back} and (node_of(first).settled or node_of(second).settled)

    for _ in range(1000):
        # Each is woken by its own changes alone.
        if node_of(first).wait(settled, 0.02) or node_of(second).wait(settled, 0.02):
            return first if first.state is registered else second
    raise AssertionError(f"waited in vain: {first!r} {second!r}")


def test_processes_that_start_at_the_same_time_take_the_id_once_each(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    """The last one has it. One that was replaced before it saw its own node does not take that for a leftover."""
    clients = [make_client().wait_connected(LIMIT) for _ in range(4)]
    for number in range(15):
        path = f"{namespace}/services/payments/{number}"
        with events(truth, path) as seen:
            ours = {client: client.register("payments", 8080, id=str(number)) for client in clients}
            seen.wait(lambda items: items.count("CREATED") == len(clients))
            node = truth.get(path)
            assert node is not None
            for client, registration in ours.items():
                has_it = core_of(client).session.session_id == node.stat.ephemeral_owner
                wait_registration(registration, RegistrationState.REGISTERED if has_it else RegistrationState.CONFLICT)
            assert truth.get(path) == node
            assert seen.items.count("CREATED") == len(clients)
        for registration in ours.values():
            registration.close()


def test_a_worker_whose_turn_was_taken_during_an_expiry_waits_again(
    zkdiscovery_server: ZookeeperServer,
    zkdiscovery_proxy: FaultProxy,
    make_client: MakeClient,
    truth: Truth,
) -> None:
    """gunicorn's workers share a port: while one of them lives, the port is registered, whoever has lost a session."""
    clients = [make_client(zkdiscovery_proxy.address), make_client()]
    workers = [client.register("payments", 8080, id="a", on_conflict="wait") for client in clients[:1]]
    workers[0].wait_registered(LIMIT)
    workers.append(clients[1].register("payments", 8080, id="a", on_conflict="wait"))
    wait_registration(workers[1], RegistrationState.WAITING)
    credentials = core_of(clients[0]).session.credentials
    assert credentials is not None
    zkdiscovery_proxy.refuse()
    expire_session(credentials.session_id, credentials.password, zkdiscovery_server.hosts)
    workers[1].wait_registered(LIMIT)
    zkdiscovery_proxy.heal()
    wait_epoch(clients[0], 2)
    wait_registration(workers[0], RegistrationState.WAITING)
    assert workers[0].error is None
    assert_stands(truth, clients[1], workers[1])
    clients[1].close()
    workers[0].wait_registered(LIMIT)
    assert_stands(truth, clients[0], workers[0])


def test_who_was_reclaimed_from_waits_again_if_it_waits_at_all(make_client: MakeClient, truth: Truth) -> None:
    """`reclaim()` takes the id once; it does not make a patient registration greedy."""
    clients = [make_client(), make_client()]
    first = clients[0].register("payments", 8080, id="a", on_conflict="wait").wait_registered(LIMIT)
    second = clients[1].register("payments", 8081, id="a", on_conflict="wait")
    wait_registration(second, RegistrationState.WAITING)
    second.reclaim()
    second.wait_registered(LIMIT)
    wait_registration(first, RegistrationState.WAITING)
    first.reclaim()
    first.wait_registered(LIMIT)
    wait_registration(second, RegistrationState.WAITING)
    assert_stands(truth, clients[0], first)


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken over"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_process_that_stops_beyond_its_session(
    make_client: MakeClient,
    truth: Truth,
    path: str,
    zkdiscovery_server: ZookeeperServer,
    namespace: str,
    end: signal.Signals,
    taken: bool,
) -> None:
    """It comes back exactly once when it runs on; it stands back if somebody else took the id."""
    with events(truth, path) as seen, Child(REGISTRANT, zkdiscovery_server.hosts, namespace, "1", "8080") as child:
        child.wait_line("registered")
        child.signal(end)
        truth.wait(path, lambda node: node is None)
        if taken:
            client = make_client()
            successor = client.register("payments", 8081, id="a").wait_registered(LIMIT)
        if end is signal.SIGSTOP:
            child.signal(signal.SIGCONT)
            if taken:
                child.wait_line("state CONFLICT")
            else:
                child.wait_line("state REGISTERED", 2)
                wait_stored(truth, path, lambda instance: instance.port == 8080)
        if taken:
            assert_stands(truth, client, successor)
        lives = 2 if taken or end is signal.SIGSTOP else 1
        seen.wait(lambda items: items.count("CREATED") == lives)
        assert seen.items == ["CREATED", "DELETED", "CREATED"][: 2 * lives - 1] + ([] if lives == 2 else ["DELETED"])


def test_a_leftover_that_was_replaced_does_not_take_its_successor_along(
    make_client: MakeClient, truth: Truth, path: str, zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    """kazoo's Party takes NodeExists for joined, and vanishes with the session of the process that was before it."""
    with Child(REGISTRANT, zkdiscovery_server.hosts, namespace, "1", "8080") as killed:
        killed.wait_line("registered")
        leftover = truth.get(path)
        assert leftover is not None
        witness = f"{namespace}/services/payments/witness"
        killed.say('client.register("payments", 8080, id="witness", host="10.0.0.1").wait_registered(20.0)')
        truth.wait(witness, lambda node: node is not None)
        killed.kill()
        client = make_client()
        successor = client.register("payments", 8081, id="a").wait_registered(LIMIT)
        truth.wait(witness, lambda node: node is None)  # the session of before is over
        assert_stands(truth, client, successor)
        assert leftover.stat.ephemeral_owner != core_of(client).session.session_id


def test_another_s_entry_is_removed_and_its_loss_is_told(make_client: MakeClient, truth: Truth, path: str) -> None:
    """peers.md defect 7: another process's entry can't be removed, and nobody says so."""
    truth.create(path, b"", ephemeral=True)
    operator = make_client()
    assert operator.remove("payments", "a")
    assert truth.get(path) is None
    assert not operator.remove("payments", "a")


def test_an_id_registered_anew_keeps_the_new_data_over_an_expiry(
    make_client: MakeClient, truth: Truth, zkdiscovery_expire: Expire
) -> None:
    """peers.md defect 5: registering twice with one id, and a reconnect restores the old data."""
    client = make_client()
    client.register("payments", 8080, id="a", version="old").wait_registered(LIMIT).close()
    registration = client.register("payments", 8081, id="a", version="new").wait_registered(LIMIT)
    zkdiscovery_expire(client)
    wait_epoch(client, 2)
    wait_stored(truth, path_of(registration), lambda instance: instance.version == "new")
    closing = in_background(registration.close)
    assert_ends(closing)
    assert stored(truth, registration) is None
