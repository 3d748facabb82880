"""Shared registrations on an ensemble: each sharer sees it through a server of its own, some of them late."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.conftest import MakeEnsembleClient
from tests.integration.registration.helpers import events, path_of, stored
from tests.integration.registration.sharing import share, wait_one_holder
from tests.support import LIMIT, Truth, core_of, wait_state
from zkdiscovery import Client, Registration, State, Status
from zkdiscovery.testing import ZookeeperEnsemble


@pytest.fixture
def ensemble_truth(ensemble: ZookeeperEnsemble) -> Iterator[Truth]:
    with Truth(ensemble.hosts) as view:
        yield view


@pytest.fixture
def path(ensemble_namespace: str) -> str:
    return f"{ensemble_namespace}/services/payments/a"


def test_sharers_on_different_servers_follow_one_another_without_a_gap(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, ensemble_truth: Truth, path: str
) -> None:
    clients = [make_ensemble_client([member], session_timeout=20.0)[0] for member in ensemble.members]
    ours: dict[Registration, Client] = {share(client).wait_registered(LIMIT): client for client in clients}
    with events(ensemble_truth, path) as seen:
        for number in range(1, 13):
            holder = wait_one_holder(ensemble_truth, ours)
            client = ours.pop(holder)
            holder.close()
            ours[share(client).wait_registered(LIMIT)] = client
            assert seen.wait(lambda items, number=number: len(items) >= 2 * number) == ["DELETED", "CREATED"] * number
        holder = wait_one_holder(ensemble_truth, ours)
        assert stored(ensemble_truth, holder).status is Status.UP
        before = len(seen.items)
        for registration in list(ours):
            registration.close()
        seen.wait(lambda items: items[before:][-2:] == ["CHANGED", "DELETED"])
        assert seen.items.count("CHANGED") == 1


def test_a_rolling_restart_moves_nothing(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, ensemble_truth: Truth, path: str
) -> None:
    clients = [make_ensemble_client(session_timeout=20.0)[0] for _ in range(3)]
    ours: dict[Registration, Client] = {share(client).wait_registered(LIMIT): client for client in clients}
    holder = wait_one_holder(ensemble_truth, ours)
    before = ensemble_truth.get(path_of(holder))
    ensemble.rolling_restart()
    for client in clients:
        wait_state(client, State.CONNECTED)
    ensemble_truth.session.wait_connected(LIMIT)
    for registration in ours:
        registration.wait_registered(LIMIT)
    assert wait_one_holder(ensemble_truth, ours) is holder
    assert ensemble_truth.get(path_of(holder)) == before
    assert [core_of(client).session.epoch for client in clients] == [1, 1, 1]


@pytest.mark.parametrize("own", [True, False], ids=["its own server", "another one"])
def test_the_leader_is_killed_during_a_take_over(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, path: str, own: bool
) -> None:
    leader = ensemble.leader()
    clients = [
        make_ensemble_client(session_timeout=20.0)[0],
        make_ensemble_client(None if own else ensemble.followers(), session_timeout=20.0)[0],
    ]
    first, second = (share(client).wait_registered(LIMIT) for client in clients)
    first._owned.begin_drain(60.0)
    leader.kill()
    second.wait_registered(LIMIT)
    with Truth(ensemble.hosts) as truth:
        assert wait_one_holder(truth, {second: clients[1]}) is second
        assert stored(truth, second).status is Status.UP
