"""Sharers beside registrations that are not shared: nobody fights."""

from __future__ import annotations

import logging

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import HOST, events, stored
from tests.integration.registration.sharing import share, wait_one_holder, wait_role
from tests.support import LIMIT, Truth, node_of, wait_registration, wait_until
from zkdiscovery import OperationTimeout, RegistrationState, Status


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/services/payments/a"


@pytest.mark.parametrize("id", ["a", None], ids=["chosen", "default"])
def test_one_that_replaces_takes_the_id_once_and_the_sharers_wait_for_its_end(
    make_client: MakeClient, truth: Truth, caplog: pytest.LogCaptureFixture, id: str | None
) -> None:
    """As with any other registration of the machine: the first registration replaces, and nobody takes it back."""
    clients = [make_client(), make_client()]
    ours = {share(client, id=id).wait_registered(LIMIT): client for client in clients}
    wait_one_holder(truth, ours)
    path = node_of(next(iter(ours))).path
    with events(truth, path) as seen:
        alone = make_client().register("payments", 8080, host=HOST, id=id).wait_registered(LIMIT)
        for registration in ours:
            wait_registration(registration, RegistrationState.WAITING)
            assert registration.error is None
        alone.update(version="2")
        alone.wait_registered(LIMIT)
        assert stored(truth, alone) == alone.instance
        assert seen.items.count("CREATED") == 1
        alone.close()
        wait_one_holder(truth, ours)
        assert seen.items.count("CREATED") == 2
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("on_conflict", ["replace", "wait", "refuse"])
def test_a_sharer_waits_for_one_that_does_not_share(
    make_client: MakeClient, truth: Truth, path: str, on_conflict: str
) -> None:
    alone = make_client().register("payments", 8080, id="a", host=HOST, on_conflict=on_conflict).wait_registered(LIMIT)
    before = truth.get(path)
    sharers = [share(make_client()), share(make_client())]
    for sharer in sharers:
        wait_registration(sharer, RegistrationState.WAITING)
        with pytest.raises(OperationTimeout, match="another owner has the id"):
            sharer.wait_registered(0.0)
    assert truth.get(path) == before
    alone.close()
    for sharer in sharers:
        sharer.wait_registered(LIMIT)
    assert stored(truth, sharers[0]).status is Status.UP


def test_one_that_waits_follows_the_last_sharer(make_client: MakeClient, truth: Truth, path: str) -> None:
    sharers = [share(make_client()).wait_registered(LIMIT) for _ in range(2)]
    waiting = make_client().register("payments", 8080, id="a", host=HOST, on_conflict="wait")
    wait_registration(waiting, RegistrationState.WAITING)
    sharers[0].close()
    wait_role(sharers[1], "HELD")
    assert waiting.state is RegistrationState.WAITING
    sharers[1].close()
    waiting.wait_registered(LIMIT)


def test_a_sharer_can_be_told_to_take_the_id(make_client: MakeClient, truth: Truth, path: str) -> None:
    alone = make_client().register("payments", 8080, id="a", host=HOST).wait_registered(LIMIT)
    for number in range(3):  # writes that raise the version
        alone.update(version=str(number))
        alone.wait_registered(LIMIT)
    clients = [make_client(), make_client()]
    ours = {share(client): client for client in clients}
    for registration in ours:
        wait_registration(registration, RegistrationState.WAITING)
    first, second = ours
    second.reclaim()
    wait_role(second, "HELD")
    wait_registration(alone, RegistrationState.CONFLICT)
    assert wait_one_holder(truth, ours) is second
    second.close()
    wait_role(first, "HELD")
    alone.close()
    assert stored(truth, first) == first.instance


def test_a_persistent_node_is_waited_for(make_client: MakeClient, truth: Truth, path: str) -> None:
    truth.create(path, b"garbage")
    sharer = share(make_client())
    wait_registration(sharer, RegistrationState.WAITING)
    truth.delete(path)
    sharer.wait_registered(LIMIT)


def test_what_operators_delete_comes_back(make_client: MakeClient, truth: Truth, path: str, namespace: str) -> None:
    """The instance, a standby, all of the group."""
    clients = [make_client(), make_client()]
    ours = {share(client).wait_registered(LIMIT): client for client in clients}
    group = f"{namespace}/share/payments/a"
    make_client().remove("payments", "a")
    holder = wait_one_holder(truth, ours)
    before = truth.get(path)
    for name in truth.children(group):
        truth.delete(f"{group}/{name}")
    wait_until(lambda: len(truth.children(group)) == 2)
    assert wait_one_holder(truth, ours) is holder
    assert truth.get(path) == before
    assert all(registration.state is RegistrationState.REGISTERED for registration in ours)


@pytest.mark.parametrize("data", [b"", b"garbage", b"[1]", b'{"pid": 1}', b"\xff" * 2000])
def test_a_standby_that_says_nonsense_harms_nobody(
    make_client: MakeClient, truth: Truth, path: str, namespace: str, data: bytes
) -> None:
    first = share(make_client()).wait_registered(LIMIT)
    truth.create(f"{namespace}/share/payments/a/nonsense", data)
    second = share(make_client()).wait_registered(LIMIT)
    first.close()
    wait_role(second, "HELD")
    second.close()
    assert truth.get(path) is None
