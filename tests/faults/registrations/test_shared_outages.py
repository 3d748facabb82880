"""Shared registrations over lost sessions, lost answers, and servers that restart or forget."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.helpers import Expire, in_background
from tests.integration.registration.helpers import events, path_of, stored
from tests.integration.registration.sharing import share, wait_one_holder, wait_role
from tests.support import LIMIT, Truth, core_of, counting, node_of, wait_epoch, wait_state, wait_until
from zkdiscovery import Client, Registration, RegistrationState
from zkdiscovery.session import State
from zkdiscovery.testing import FaultProxy, ZookeeperServer

Sharers = dict[Registration, Client]


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/services/payments/a"


@pytest.fixture(autouse=True)
def nothing_but_sessions_is_told(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """That contact was lost is told once, by the session."""
    yield
    loud = [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert {record.name for record in loud if "an operator has set" not in record.getMessage()} <= {
        "zkdiscovery.session"
    }


def start(make_client: MakeClient, *hosts: str | None) -> Sharers:
    """A sharer for each of these; the first one holds the instance."""
    ours = {}
    for host in hosts:
        client = make_client(host)
        ours[share(client).wait_registered(LIMIT)] = client
    return ours


def test_an_expired_holder_becomes_a_standby(
    make_client: MakeClient, truth: Truth, path: str, zkdiscovery_expire: Expire
) -> None:
    ours = start(make_client, None, None, None)
    first, *_ = ours
    make_client().override("payments", "a", weight=3.0)
    for registration in ours:
        wait_until(lambda registration=registration: registration.instance.override is not None)
    with events(truth, path) as seen:
        zkdiscovery_expire(ours[first])
        wait_epoch(ours[first], 2)
        holder = wait_one_holder(truth, ours)
        first.wait_registered(LIMIT)
        assert seen.items == ["DELETED", "CREATED"]
    assert stored(truth, holder).weight == 3.0
    assert stored(truth, holder).registered_at == first.instance.registered_at


def test_an_expired_standby_stands_by_again(
    make_client: MakeClient, truth: Truth, path: str, namespace: str, zkdiscovery_expire: Expire
) -> None:
    ours = start(make_client, None, None)
    first, second = ours
    before = truth.get(path)
    zkdiscovery_expire(ours[second])
    wait_epoch(ours[second], 2)
    second.wait_registered(LIMIT)
    assert wait_one_holder(truth, ours) is first
    assert truth.get(path) == before
    assert len(truth.children(f"{namespace}/share/payments/a")) == 2


def test_all_expire_and_one_comes_back(
    make_client: MakeClient, truth: Truth, path: str, zkdiscovery_expire: Expire
) -> None:
    ours = start(make_client, None, None, None)
    for epoch in (2, 3):
        for client in ours.values():
            zkdiscovery_expire(client)
        for client in ours.values():
            wait_epoch(client, epoch)
        for registration in ours:
            registration.wait_registered(LIMIT)
        wait_one_holder(truth, ours)


def test_a_reconnect_writes_nothing(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, path: str, namespace: str
) -> None:
    ours = start(make_client, zkdiscovery_proxy.address, zkdiscovery_proxy.address)
    wait_one_holder(truth, ours)
    names = [
        path,
        *(f"{namespace}/share/payments/a/{name}" for name in truth.children(f"{namespace}/share/payments/a")),
    ]
    before = [truth.get(name) for name in names]
    sessions = [core_of(client).session for client in ours.values()]
    generations = [session.generation for session in sessions]
    zkdiscovery_proxy.drop()
    for session, generation in zip(sessions, generations, strict=True):
        wait_until(lambda session=session, generation=generation: session.generation > generation)
    share(make_client(), weight=7.0).wait_registered(LIMIT).close()  # events that all of them see to
    for registration in ours:
        registration.update(version="2")
        registration.wait_registered(LIMIT)
    wait_one_holder(truth, ours)
    after = [truth.get(name) for name in names]
    assert [node.stat.version for node in after] == [1, *(node.stat.version for node in before[1:])]
    assert [node.stat.czxid for node in after] == [node.stat.czxid for node in before]


@pytest.mark.parametrize("wipe", [False, True], ids=["restarted", "wiped"])
def test_it_comes_back_once_after_a_server_was_away(
    zkdiscovery_server: ZookeeperServer, make_client: MakeClient, path: str, wipe: bool
) -> None:
    ours = start(make_client, None, None, None)
    first = next(iter(ours))
    zkdiscovery_server.restart(wipe=wipe)
    if wipe:
        for client in ours.values():
            wait_epoch(client, 2)
    else:
        for client in ours.values():
            wait_until(lambda client=client: core_of(client).session.generation > 1)
            wait_state(client, State.CONNECTED)
    with Truth(zkdiscovery_server.hosts) as truth:
        for registration in ours:
            registration.wait_registered(LIMIT)
        holder = wait_one_holder(truth, ours)
        assert stored(truth, holder).registered_at == first.instance.registered_at
        assert truth.children(path.rpartition("/")[0]) == ["a"]
        if not wipe:
            assert holder is first


LOSSES: dict[str, Callable[[FaultProxy], object]] = {
    "the request": lambda proxy: proxy.lose_request("multi"),
    "the answer": lambda proxy: proxy.lose_reply("multi"),
}


@pytest.mark.parametrize("lost", LOSSES)
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "among others"])
def test_a_take_over_of_unknown_outcome_happens_once(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, path: str, lost: str, others: int
) -> None:
    ours = start(make_client, None, zkdiscovery_proxy.address, *[None] * others)
    first, *rest = ours
    with events(truth, path) as seen:
        LOSSES[lost](zkdiscovery_proxy)
        first.close()
        del ours[first]
        wait_one_holder(truth, ours)
        for registration in rest:
            registration.wait_registered(LIMIT)
        assert seen.items == ["DELETED", "CREATED"]


@pytest.mark.parametrize("lost", LOSSES)
def test_leaving_with_an_unknown_outcome(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, path: str, namespace: str, lost: str
) -> None:
    """The last one drains once, whichever message is lost."""
    (first,) = start(make_client, zkdiscovery_proxy.address)
    with events(truth, path) as seen:
        LOSSES[lost](zkdiscovery_proxy)
        first.drain(delay=0.2, timeout=LIMIT)
        assert seen.items == ["CHANGED", "DELETED"]
    assert truth.children(f"{namespace}/share/payments/a") == []


def test_a_first_registration_of_unknown_outcome_happens_once(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, path: str
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    client.wait_connected(LIMIT)
    zkdiscovery_proxy.lose_reply("multi")
    with events(truth, path) as seen:
        registration = share(client).wait_registered(LIMIT)
        assert seen.items == ["CREATED"]
    assert stored(truth, registration) == registration.instance


def test_a_group_that_was_reaped_is_made_again(
    zkdiscovery_proxy: FaultProxy,
    make_client: MakeClient,
    truth: Truth,
    path: str,
    namespace: str,
    zkdiscovery_server: ZookeeperServer,
) -> None:
    """All sharers were away for longer than their sessions, and ZooKeeper removed the empty container."""
    ours = start(make_client, zkdiscovery_proxy.address, zkdiscovery_proxy.address)
    zkdiscovery_proxy.refuse()
    truth.wait(path, lambda node: node is None)
    group = f"{namespace}/share/payments/a"
    truth.wait(group, lambda node: node is not None and node.stat.num_children == 0)
    zkdiscovery_server.remove_tree(f"{namespace}/share")
    zkdiscovery_proxy.heal()
    for client in ours.values():
        wait_epoch(client, 2)
    for registration in ours:
        registration.wait_registered(LIMIT)
    wait_one_holder(truth, ours)


def test_a_group_that_is_reaped_while_the_last_one_drains(
    make_client: MakeClient, truth: Truth, path: str, namespace: str
) -> None:
    """It is not empty: the standby of the last one stays until the instance goes."""
    (first,) = start(make_client, None)
    group = f"{namespace}/share/payments/a"
    assert first._owned.begin_drain(30.0)
    wait_until(lambda: node_of(first).settled)
    assert len(truth.children(group)) == 1
    first.close()
    assert truth.children(group) == []
    assert truth.get(path) is None


def test_a_holder_that_can_t_be_reached_leaves_within_its_time(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth
) -> None:
    """The standby takes over when the session of the holder has ended."""
    ours = start(make_client, zkdiscovery_proxy.address, None)
    first, second = ours
    zkdiscovery_proxy.refuse()
    closing = in_background(lambda: ours[second].close(3.0))
    closing.join(LIMIT)
    assert not closing.is_alive()
    wait_role(first, "HELD")
    assert second.state is RegistrationState.CLOSED
    zkdiscovery_proxy.heal()


def test_a_standby_without_contact_closes_at_once_and_silently(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, path: str
) -> None:
    ours = start(make_client, None, zkdiscovery_proxy.address)
    _, second = ours
    before = truth.get(path)
    zkdiscovery_proxy.refuse()
    wait_state(ours[second], State.SUSPENDED)
    second.close(timeout=5.0)
    assert second.state is RegistrationState.CLOSED
    assert truth.get(path) == before


def test_the_requests_of_a_take_over(make_client: MakeClient, truth: Truth) -> None:
    """Two looks and a transaction; those who are late look once more."""
    ours = start(make_client, None, None)
    first, second = ours
    with counting(ours[second]) as requests:
        first.close()
        wait_role(second, "HELD")
        assert stored(truth, second) is not None
    assert requests["Multi"] == 1, path_of(second)
    assert requests["GetData"] <= 10
