"""Somebody else has the id: leftovers, live owners, paused ones."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.child import Child
from tests.integration.registration.helpers import events, path_of, seen_to, stored, wait_stored
from tests.support import LIMIT, Truth, wait_epoch, wait_registration
from zkdiscovery import Client, NodeNotEmpty, OperationTimeout, RegistrationConflict, RegistrationState
from zkdiscovery.testing import FaultProxy, ZookeeperServer
from zkdiscovery.threads import run_steps

REGISTRANT = """
import sys
from zkdiscovery import Client
hosts, namespace, timeout, port = sys.argv[1:]
client = Client(hosts, namespace=namespace, session_timeout=float(timeout))
registration = client.register("payments", int(port), id="a", host="10.0.0.1")
registration.on_change(lambda registration: print("state", registration.state))
registration.wait_registered(20.0)
print("registered", registration.instance.registered_at)
"""


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/services/payments/a"


@pytest.mark.parametrize("ephemeral", [True, False], ids=["of another session", "persistent"])
@pytest.mark.parametrize("data", [b"", b"\xff garbage"], ids=["empty", "garbage"])
def test_a_leftover_is_replaced(make_client: MakeClient, truth: Truth, path: str, ephemeral: bool, data: bytes) -> None:
    truth.create(path, data, ephemeral=ephemeral)
    with events(truth, path) as seen:
        registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
        assert stored(truth, registration) == registration.instance
    # In one transaction: nobody has seen it missing or empty.
    # The last one is of the version that an owner who leaves just now can't have seen.
    assert seen.items == ["DELETED", "CREATED", "CHANGED"][: 3 if ephemeral else 2]


def test_a_restarted_process_replaces_its_own_leftover(
    make_client: MakeClient, truth: Truth, zkdiscovery_server: ZookeeperServer, namespace: str, path: str
) -> None:
    with Child(REGISTRANT, zkdiscovery_server.hosts, namespace, "30", "8080") as killed:
        killed.wait_line("registered")
        killed.kill()
        leftover = truth.get(path)
        assert leftover is not None
        successor = make_client().register("payments", 8081, id="a").wait_registered(LIMIT)
        assert stored(truth, successor).port == 8081


def test_waiting_goes_on_when_the_owner_goes(make_client: MakeClient, truth: Truth, path: str) -> None:
    truth.create(path, b"somebody's", ephemeral=True)
    client = make_client()
    registration = client.register("payments", 8080, id="a", on_conflict="wait")
    wait_registration(registration, RegistrationState.WAITING)
    with pytest.raises(OperationTimeout, match=r"not registered within 0 s \(WAITING\): another owner has the id"):
        registration.wait_registered(0.0)
    truth.set(path, b"somebody's still")
    seen_to(client, registration)
    assert registration.state is RegistrationState.WAITING
    assert truth.get(path).data == b"somebody's still"
    registration.update(version="2")
    truth.delete(path)
    registration.wait_registered(LIMIT)
    assert stored(truth, registration).version == "2"


def test_workers_of_one_port_wait_for_each_other(make_client: MakeClient, truth: Truth) -> None:
    workers = [make_client().register("payments", 8080, id="a", on_conflict="wait") for _ in range(4)]
    for _ in range(4):
        (held,) = _wait_one(workers, RegistrationState.REGISTERED)
        assert stored(truth, held) == held.instance
        workers.remove(held)
        for other in workers:
            wait_registration(other, RegistrationState.WAITING)
        held.close()
    assert stored(truth, held) is None


def _wait_one(registrations: list, state: RegistrationState) -> list:
    """Those in a state, once there are any; each tells of its changes."""
    changed = threading.Event()
    subscriptions = [registration.on_change(lambda _: changed.set()) for registration in registrations]
    try:
        while not (found := [registration for registration in registrations if registration.state is state]):
            assert changed.wait(LIMIT)
            changed.clear()
        return found
    finally:
        for subscription in subscriptions:
            subscription.close()


def test_waiting_outlasts_an_expiry(
    make_client: MakeClient, truth: Truth, path: str, zkdiscovery_expire: Callable[[Client], None]
) -> None:
    truth.create(path, b"", ephemeral=True)
    client = make_client()
    registration = client.register("payments", 8080, id="a", on_conflict="wait")
    wait_registration(registration, RegistrationState.WAITING)
    zkdiscovery_expire(client)
    wait_epoch(client, 2)
    seen_to(client, registration)
    assert registration.state is RegistrationState.WAITING
    truth.delete(path)
    wait_registration(registration, RegistrationState.REGISTERED)


def test_refusing_is_final(make_client: MakeClient, truth: Truth, path: str) -> None:
    truth.create(path, b"somebody's", ephemeral=True)
    client = make_client()
    registration = client.register("payments", 8080, id="a", on_conflict="refuse")
    with pytest.raises(RegistrationConflict, match=r"belongs to another owner \(session 0x") as caught:
        registration.wait_registered(LIMIT)
    assert caught.value.path == path
    assert truth.get(path).data == b"somebody's"
    truth.delete(path)
    registration.update(version="2")
    client.register("payments", 8081, id="b").wait_registered(LIMIT)  # the worker has passed the first one since
    assert registration.state is RegistrationState.CONFLICT
    assert truth.get(path) is None
    registration.reclaim()
    assert registration.wait_registered(LIMIT).error is None
    assert stored(truth, registration).version == "2"


def test_a_conflict_can_be_closed(make_client: MakeClient, truth: Truth, path: str) -> None:
    truth.create(path, b"somebody's", ephemeral=True)
    registration = make_client().register("payments", 8080, id="a", on_conflict="refuse")
    wait_registration(registration, RegistrationState.CONFLICT)
    registration.close()
    assert registration.state is RegistrationState.CLOSED
    assert truth.get(path).data == b"somebody's"


def test_reclaiming_what_is_held_changes_nothing(make_client: MakeClient, truth: Truth, path: str) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    before = truth.get(path)
    registration.reclaim()
    assert registration.state is RegistrationState.REGISTERED
    registration.update(version="2")
    registration.wait_registered(LIMIT)
    assert truth.get(path).stat.czxid == before.stat.czxid


def test_reclaiming_replaces_the_owner_that_is_waited_for(make_client: MakeClient, truth: Truth, path: str) -> None:
    truth.create(path, b"somebody's", ephemeral=True)
    registration = make_client().register("payments", 8080, id="a", on_conflict="wait")
    wait_registration(registration, RegistrationState.WAITING)
    registration.reclaim()
    registration.wait_registered(LIMIT)
    assert stored(truth, registration) == registration.instance


def test_a_node_with_children_is_not_replaced(make_client: MakeClient, truth: Truth, path: str) -> None:
    truth.create(f"{path}/child")
    registration = make_client().register("payments", 8080, id="a")
    with pytest.raises(NodeNotEmpty, match="the node has children"):
        registration.wait_registered(LIMIT)
    truth.delete(f"{path}/child")
    wait_registration(registration, RegistrationState.REGISTERED)


def test_the_one_that_came_first_gives_way_to_a_second_that_replaces_it(
    make_client: MakeClient, truth: Truth, path: str
) -> None:
    first = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    second = make_client().register("payments", 8081, id="a").wait_registered(LIMIT)
    wait_registration(first, RegistrationState.CONFLICT)
    first.close()
    assert stored(truth, second).port == 8081
    assert second.state is RegistrationState.REGISTERED


def test_an_id_taken_during_an_outage_is_a_conflict(
    zkdiscovery_proxy: FaultProxy,
    make_client: MakeClient,
    truth: Truth,
    path: str,
    zkdiscovery_expire: Callable[[Client], None],
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    ours = [client.register("payments", 8080, id=name).wait_registered(LIMIT) for name in "abc"]
    zkdiscovery_proxy.refuse()
    zkdiscovery_expire(client)
    truth.wait(path, lambda node: node is None)
    truth.create(path, b"successor's", ephemeral=True)
    zkdiscovery_proxy.heal()
    for other in ours[1:]:
        wait_epoch(client, 2)
        seen_to(client, other)
        assert other.state is RegistrationState.REGISTERED
        assert stored(truth, other) == other.instance
    wait_registration(ours[0], RegistrationState.CONFLICT)
    assert truth.get(path).data == b"successor's"


@pytest.mark.parametrize("on_conflict", ["replace", "wait"])
def test_a_paused_process_finds_its_successor_and_does_not_fight(
    make_client: MakeClient,
    truth: Truth,
    path: str,
    zkdiscovery_server: ZookeeperServer,
    namespace: str,
    on_conflict: str,
) -> None:
    with Child(REGISTRANT, zkdiscovery_server.hosts, namespace, "1", "8080") as paused:
        paused.wait_line("registered")
        paused.signal(signal.SIGSTOP)
        client = make_client()
        if on_conflict == "replace":
            truth.wait(path, lambda node: node is None)
        successor = client.register("payments", 8081, id="a", on_conflict=on_conflict).wait_registered(LIMIT)
        paused.signal(signal.SIGCONT)
        paused.wait_line("state CONFLICT")
        assert stored(truth, successor).port == 8081
        assert successor.state is RegistrationState.REGISTERED

        paused.say("registration.reclaim()")
        wait_stored(truth, path, lambda instance: instance.port == 8080)
        waits = on_conflict == "wait"
        wait_registration(successor, RegistrationState.WAITING if waits else RegistrationState.CONFLICT)
        paused.wait_line("state REGISTERED")
        paused.say("registration.close()")
        paused.wait_line("state CLOSED")
        if waits:
            assert successor.wait_registered(LIMIT).state is RegistrationState.REGISTERED
        else:
            assert truth.get(path) is None


def test_a_path_taken_over_is_left_alone_when_its_first_owner_leaves(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, path: str
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    first = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    seen_to(client, first)
    zkdiscovery_proxy.pause()  # the news of its replacement does not arrive
    second = make_client().register("payments", 8081, id="a").wait_registered(LIMIT)
    second.update(version="2")
    second.wait_registered(LIMIT)
    first._owned.leaving = True
    first._owned.leave()
    zkdiscovery_proxy.heal()
    assert run_steps(first._owned.going(LIMIT))
    assert stored(truth, second).port == 8081
    assert path_of(first) == path
