"""Registrations on an ensemble whose servers die, restart, lose each other or all their data."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from tests.conftest import MakeClient
from tests.faults.conftest import MakeEnsembleClient
from tests.faults.registrations.helpers import assert_stands, entries, once_before, wait_all
from tests.integration.registration.helpers import on_submit, path_of, seen_to
from tests.support import LIMIT, Truth, core_of, node_of, wait_epoch, wait_registration, wait_state, wait_view
from zkdiscovery import RegistrationState, State
from zkdiscovery.session import Create, Delete, Multi, SetData
from zkdiscovery.testing import ZookeeperEnsemble, ZookeeperServer, zookeeper_server

log = logging.getLogger("tests")


@pytest.fixture
def ensemble_truth(ensemble: ZookeeperEnsemble) -> Iterator[Truth]:
    with Truth(ensemble.hosts) as view:
        yield view


def test_a_rolling_restart_loses_no_registration(
    ensemble: ZookeeperEnsemble,
    make_ensemble_client: MakeEnsembleClient,
    ensemble_truth: Truth,
) -> None:
    """Session timeout 10 s. Curator: ensemble member lost, session survives. No node is ever made anew."""
    clients = [make_ensemble_client(session_timeout=10.0)[0] for _ in range(3)]
    many = {client: client.register_many(entries(20, f"service-{n}")) for n, client in enumerate(clients)}
    views = [clients[0].discover(f"service-{n}") for n in range(3)]
    for registrations in many.values():
        wait_all(registrations)
    for view in views:
        wait_view(view, lambda snapshot: len(snapshot) == 20)
    removed: list[object] = []
    for view in views:
        view.on_change(lambda change: removed.extend(change.removed))
    before = {r: ensemble_truth.get(path_of(r)).stat for registrations in many.values() for r in registrations}
    begun = time.monotonic()
    ensemble.rolling_restart()
    log.info("rolling restart of three: %.1f s", time.monotonic() - begun)
    for client, registrations in many.items():
        wait_state(client, State.CONNECTED)
        seen_to(client, *registrations)
    ensemble_truth.session.wait_connected(LIMIT)
    # The transaction that created each, its version and its owner: the very same node stood all the time.
    assert {r: ensemble_truth.get(path_of(r)).stat for r in before} == before
    assert {r.state for r in before} == {RegistrationState.REGISTERED}
    assert [core_of(client).session.epoch for client in clients] == [1, 1, 1]
    assert removed == []


@pytest.mark.parametrize("own", [True, False], ids=["our own server leads", "another one leads"])
def test_the_leader_is_killed_in_the_midst_of_registering_many(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, own: bool
) -> None:
    """What was committed is found again, what was not is written: each stands once."""
    leader = ensemble.leader()
    client, _ = make_ensemble_client(members=[leader] if own else ensemble.followers())
    client.wait_connected(LIMIT)
    client.register("payments", 8080, id="first").wait_registered(LIMIT)
    with once_before(client, Multi, leader.kill, number=2):  # the first 500 are on their way, and may be committed
        many = client.register_many(entries(1000))
    leader.restart()
    wait_all(many)
    seen_to(client, *many)
    with Truth(ensemble.hosts) as truth:
        assert len(truth.children(path_of(many[0]).rpartition("/")[0])) == 1001
        for registration in many[::100]:
            assert_stands(truth, client, registration)


def test_a_session_that_moves_to_another_member_writes_nothing(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, ensemble_truth: Truth
) -> None:
    """peers.md defect 12, on real servers: the client's own one is cut off from it, twice."""
    client, proxies = make_ensemble_client(session_timeout=10.0)
    many = client.register_many(entries(20))
    wait_all(many)
    before = [ensemble_truth.get(path_of(each)).stat for each in many]
    written: list[object] = []
    writes = (Multi, Create, Delete, SetData)
    with on_submit(client, lambda request: written.append(request) if isinstance(request, writes) else None):
        for _ in range(2):
            session = core_of(client).session
            server, generation = session.server, session.generation
            (proxy,) = [proxy for proxy in proxies if proxy.address == server]
            proxy.refuse()
            with session.changed:
                assert session.changed.wait_for(
                    lambda seen=generation, session=session: (
                        session.generation > seen and session.state is State.CONNECTED
                    ),
                    LIMIT,
                )
            assert session.server != server
            proxy.heal()
            seen_to(client, *many)
    assert written == []
    assert core_of(client).session.epoch == 1
    assert [ensemble_truth.get(path_of(each)).stat for each in many] == before


def test_an_ensemble_without_quorum_for_longer_than_a_session(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient
) -> None:
    """Whether the session outlives it is the ensemble's word; each stands once, as it is wanted by then."""
    client, _ = make_ensemble_client(session_timeout=1.0)
    kept, closed = (client.register("payments", 8080, id=name).wait_registered(LIMIT) for name in ("kept", "closed"))
    leader, *others = ensemble.leader(), *ensemble.followers()
    killed = others[:2]
    for member in killed:
        member.kill()
    wait_state(client, State.SUSPENDED)
    kept.update(version="2")
    closed.close(timeout=0.05)
    late = client.register("payments", 8081, id="late")
    assert not node_of(late).wait(lambda node: node.settled, 1.5)  # longer than the session's time-out
    for member in killed:
        member.restart(wait=False)
    ensemble.wait_serving()
    for registration in (kept, late):
        assert node_of(registration).wait(lambda node: node.settled, LIMIT)
    assert node_of(closed).wait(lambda node: node.settled, LIMIT)
    seen_to(client, kept, late)
    assert leader.running
    with Truth(ensemble.hosts) as truth:
        for registration in (kept, late):
            node_of(registration).wait(lambda node: node.settled, LIMIT)
            assert_stands(truth, client, registration)
        parent = path_of(kept).rpartition("/")[0]
        truth.wait(path_of(closed), lambda node: node is None)
        assert truth.children(parent) == ["kept", "late"]


def test_a_follower_that_is_cut_off_from_its_leader_lets_our_session_expire(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient
) -> None:
    """Its pings are acknowledged, and all the same our nodes vanish, and somebody else takes an id: we stand back."""
    follower = ensemble.followers()[0]
    client, _ = make_ensemble_client(members=[follower], session_timeout=2.0)
    ours, taken = (client.register("payments", 8080, id=name).wait_registered(LIMIT) for name in ("ours", "taken"))
    rival, _ = make_ensemble_client(members=[member for member in ensemble.members if member is not follower])
    rival.wait_connected(LIMIT)
    rival_session = core_of(rival).session
    ensemble.isolate(follower)
    waiting = rival.register("payments", 9090, id="taken", on_conflict="wait")
    wait_registration(waiting, RegistrationState.REGISTERED)
    assert rival_session.epoch == 1
    ensemble.heal()
    wait_epoch(client, 2)
    wait_registration(ours, RegistrationState.REGISTERED)
    wait_registration(taken, RegistrationState.CONFLICT)
    with Truth(ensemble.hosts) as truth:
        assert_stands(truth, client, ours)
        assert_stands(truth, rival, waiting)


# -- one server of its own, whose data can be thrown away --


@pytest.fixture(scope="module")
def fragile_server(request: pytest.FixtureRequest) -> Iterator[ZookeeperServer]:
    source = request.config.getoption("--zkdiscovery-source")
    with zookeeper_server(source="auto" if source == "hosts" else source) as server:
        yield server


@pytest.mark.parametrize("wipe", [False, True], ids=["crashed", "wiped"])
def test_a_server_that_comes_back(
    fragile_server: ZookeeperServer, make_client: MakeClient, namespace: str, wipe: bool
) -> None:
    """Curator: server crash and restart, with one and with several registrations. A wiped one knows no session."""
    client = make_client(fragile_server.hosts, session_timeout=1.0)
    many = client.register_many(entries(20))
    one, closed = (client.register("refunds", 8080, id=name) for name in ("one", "closed"))
    wait_all([*many, one, closed])
    fragile_server.kill()
    wait_state(client, State.SUSPENDED)
    one.update(version="2")
    closed.close(timeout=0.05)
    late = client.register("refunds", 8081, id="late")
    fragile_server.restart(wipe=wipe)
    for registration in (*many, one, late, closed):
        assert node_of(registration).wait(lambda node: node.settled, LIMIT), repr(registration)
    seen_to(client, *many, one, late)
    with Truth(fragile_server.hosts) as truth:
        for registration in (*many, one, late):
            assert_stands(truth, client, registration)
        truth.wait(path_of(closed), lambda node: node is None)
        assert len(truth.children(f"{namespace}/services/payments")) == 20
        assert truth.children(f"{namespace}/services/refunds") == ["late", "one"]
    assert core_of(client).session.data_losses == int(wipe)
